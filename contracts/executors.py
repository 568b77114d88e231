"""What a manager asks of an executor, on `control/executor.sock`."""

import enum
from uuid import UUID

import msgspec

from contracts.commands import AnyCommand
from contracts.endpoint import Endpoint
from contracts.reasons import Reason
from contracts.wire import Empty, Wire


class ExecutorPhase(enum.StrEnum):
    STARTING = "starting"
    RESTORING = "restoring"
    READY = "ready"
    BUSY = "busy"
    STOPPED = "stopped"
    """Saved and released: it may be ended."""
    SUPERSEDED = "superseded"
    """Told so; saved aside, or nothing was left to save: it may be ended and removed."""
    FAILED = "failed"


class ExecutorStatus(Wire, frozen=True, kw_only=True):
    worker_id: UUID
    epoch: int
    boot_id: str
    """Of the host; a spool of another boot is not trusted."""
    phase: ExecutorPhase
    reason: str = ""
    detail: str = ""
    """Of the reason, to a person: what it is about, and what to do."""
    run_id: UUID | None = None
    idle_seconds: float | None = None
    spooled: int = 0
    """Entries not yet acknowledged by the control plane."""

    @property
    def why(self) -> str:
        """In a line."""
        return f"{self.reason}: {self.detail}" if self.detail else self.reason


class Deliver(Wire, frozen=True, kw_only=True):
    worker_id: UUID | None = None
    """Whom it is for: another executor refuses it. Absent from managers before 0.3."""
    epoch: int
    commands: list[AnyCommand]


class Delivered(Wire, frozen=True, kw_only=True):
    done: list[UUID]


class Supersede(Wire, frozen=True, kw_only=True):
    """The manager learned it first: stop everything, save aside."""

    epoch: int
    worker_id: UUID | None = None
    """Whom it is for, as in `Deliver`."""


class AskWorkspace(Wire, frozen=True, kw_only=True):
    epoch: int
    worker_id: UUID
    """Whom it is for."""


class WorkspaceState(Wire, frozen=True, kw_only=True):
    """Of a restored workspace."""

    head: UUID | None = None
    """The last snapshot; None: there is none."""
    missing_paths: list[str] = msgspec.field(default_factory=list[str])
    """Required ones that are not there: no run can start."""
    mounts: list[str] = msgspec.field(default_factory=list[str])
    """What no snapshot takes."""
    blocked: Reason | None = None
    """Why no run can start, whatever is there."""
    detail: str = ""


EXECUTOR_STATUS = Endpoint(
    "/status", Empty, ExecutorStatus, method="GET", idempotent=True, deadline=3.0
)


EXECUTOR_DELIVER = Endpoint("/commands", Deliver, Delivered, idempotent=True, deadline=5.0)


EXECUTOR_SUPERSEDE = Endpoint("/supersede", Supersede, Empty, idempotent=True, deadline=5.0)

EXECUTOR_RESTORE = Endpoint(
    "/restore", AskWorkspace, WorkspaceState, idempotent=True, deadline=300.0
)
"""Layers anew; 409 `session_busy` while a run is live, as the two that follow."""
EXECUTOR_LINK_AGENT_DATA = Endpoint(
    "/link-agent-data", AskWorkspace, WorkspaceState, idempotent=True, deadline=30.0
)
EXECUTOR_SYNC = Endpoint("/sync", AskWorkspace, WorkspaceState, idempotent=True, deadline=300.0)
"""Answered when the workspace is saved and its commit is in the spool."""
EXECUTOR_VALIDATE = Endpoint(
    "/validate", AskWorkspace, WorkspaceState, idempotent=True, deadline=30.0
)


ASSIGNED_FILE = "assigned.json"
"""In `control_dir` of an executor that was started for nobody yet: an `Assigned`, written whole by
the manager before it lets the executor go on, once."""


class Assigned(Wire, frozen=True, kw_only=True):
    """Whose a warm container has become."""

    worker_id: UUID
    session_id: UUID
    project_id: UUID
    epoch: int
    egress: list[str] = msgspec.field(default_factory=list[str])
    """What its tools find, in place of what the container was made with."""


ENDED_FILE = "ended"
"""In `control_dir`, a reason: how the executor before ended, where its host knows; written by the
manager before it starts another in the same epoch."""
