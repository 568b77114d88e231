"""What a manager asks of an executor, on `control/executor.sock`."""

import enum
from uuid import UUID

import msgspec

from contracts.commands import AnyCommand
from contracts.endpoint import Endpoint
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
    run_id: UUID | None = None
    idle_seconds: float | None = None
    spooled: int = 0
    """Entries not yet acknowledged by the control plane."""


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


EXECUTOR_STATUS = Endpoint(
    "/status", Empty, ExecutorStatus, method="GET", idempotent=True, deadline=3.0
)


EXECUTOR_DELIVER = Endpoint("/commands", Deliver, Delivered, idempotent=True, deadline=5.0)


EXECUTOR_SUPERSEDE = Endpoint("/supersede", Supersede, Empty, idempotent=True, deadline=5.0)

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

WORKSPACE_FILE = "/workspace/file"
"""GET with `?path=`: one file of the workspace, streamed; `path` is relative to its root."""
