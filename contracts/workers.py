"""Session workers: states, and what managers, executors and control plane say to each other."""

import datetime
import enum
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from contracts.commands import AnyCommand
from contracts.endpoint import Endpoint
from contracts.wire import Body, Empty, Name, Wire


class WorkerState(enum.StrEnum):
    CREATING = "creating"
    READY = "ready"
    BUSY = "busy"
    IDLE = "idle"
    STOPPING = "stopping"
    STOPPED = "stopped"
    REMOVED = "removed"
    FAILED = "failed"


# --- manager → control plane ---------------------------------------------------------------


class AgentOffer(Wire, frozen=True, kw_only=True):
    agent: str
    missing: str = ""
    """Empty: it can run here. Otherwise what is missing and how to get it."""


class Register(Wire, frozen=True, kw_only=True):
    manager_id: UUID
    name: Name
    backend: str
    max_workers: Annotated[int, msgspec.Meta(ge=0, le=10_000)]
    agents: list[AgentOffer]


class WorkerGrant(Wire, frozen=True, kw_only=True):
    """What a manager needs to run or adopt a worker. The token goes to the relay, never inside."""

    worker_id: UUID
    session_id: UUID
    project_id: UUID
    epoch: int
    token: str


class Registered(Wire, frozen=True, kw_only=True):
    incarnation: int
    """Supersedes every lower one of this manager for manager calls."""
    workers: list[WorkerGrant]
    lease_seconds: float
    heartbeat_seconds: float
    outage_grace_seconds: float
    idle_after_seconds: float
    remove_after_seconds: float


class WorkerReportedState(Wire, frozen=True, kw_only=True):
    worker_id: UUID
    epoch: int
    state: WorkerState
    answered: bool
    """Its executor answered the manager lately: only then the lease is renewed."""
    idle_seconds: float | None = None
    """How long its executor has had no run and nothing unsent; None while it has."""


class Heartbeat(Wire, frozen=True, kw_only=True):
    incarnation: int
    draining: bool = False
    workers: list[WorkerReportedState]


Verdict = Literal["current", "released", "superseded", "remove", "unknown"]


class WorkerVerdict(Wire, frozen=True, kw_only=True):
    worker_id: UUID
    verdict: Verdict
    """`superseded`: it may save aside, then it is removed. `unknown`: report, never kill."""


class HeartbeatAnswer(Wire, frozen=True, kw_only=True):
    workers: list[WorkerVerdict]


class Claim(Wire, frozen=True, kw_only=True):
    incarnation: int
    claim_id: UUID
    """Repeating it returns the same runs."""
    free: Annotated[int, msgspec.Meta(ge=0, le=1000)]
    """Room for new workers; runs of sessions whose worker is this manager's come besides."""
    agents: list[str]
    wait_seconds: Annotated[float, msgspec.Meta(ge=0, le=30)] = 0.0


class ClaimedRun(Wire, frozen=True, kw_only=True):
    run_id: UUID
    attempt: int
    worker: WorkerGrant
    fresh_worker: bool
    """Made by this claim: start it. Otherwise it is there, its `start` command on its way."""
    traceparent: str = ""


class Claimed(Wire, frozen=True, kw_only=True):
    runs: list[ClaimedRun]


class PollCommands(Wire, frozen=True, kw_only=True):
    incarnation: int
    done: list[UUID] = msgspec.field(default_factory=list[UUID])
    """Commands that their executors took."""
    wait_seconds: Annotated[float, msgspec.Meta(ge=0, le=30)] = 0.0


class WorkerCommand(Wire, frozen=True, kw_only=True):
    worker_id: UUID
    epoch: int
    command: AnyCommand


class Commands(Wire, frozen=True, kw_only=True):
    commands: list[WorkerCommand]


class WorkerChange(Wire, frozen=True, kw_only=True):
    """What happened to a worker on its host.

    `failed`: it did not become ready, or was lost with its spool.
    """

    incarnation: int
    epoch: int
    change: Literal["ready", "failed", "stopped", "removed"]
    reason: str = ""
    detail: str = ""


class WorkerChanged(Wire, frozen=True, kw_only=True):
    verdict: Verdict


class AskStop(Wire, frozen=True, kw_only=True):
    """May this idle worker stop? Granted only while its session has no live run."""

    incarnation: int
    epoch: int
    drain: bool = False
    """Interrupt a live run first (it goes on elsewhere, not counted as a failure)."""


class StopAnswer(Wire, frozen=True, kw_only=True):
    granted: bool


REGISTER = Endpoint("/internal/v1/managers/register", Register, Registered, idempotent=True)
HEARTBEAT = Endpoint(
    "/internal/v1/managers/{manager_id}/heartbeat", Heartbeat, HeartbeatAnswer, idempotent=True
)
CLAIM = Endpoint(
    "/internal/v1/managers/{manager_id}/claim", Claim, Claimed, idempotent=True, deadline=40.0
)
COMMANDS = Endpoint(
    "/internal/v1/managers/{manager_id}/commands",
    PollCommands,
    Commands,
    idempotent=True,
    deadline=40.0,
)
WORKER_CHANGE = Endpoint(
    "/internal/v1/managers/{manager_id}/workers/{worker_id}/change",
    WorkerChange,
    WorkerChanged,
    idempotent=True,
)
ASK_STOP = Endpoint(
    "/internal/v1/managers/{manager_id}/workers/{worker_id}/stop",
    AskStop,
    StopAnswer,
    idempotent=True,
)


# --- manager → executor (control/executor.sock) ---------------------------------------------


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
    epoch: int
    commands: list[AnyCommand]


class Delivered(Wire, frozen=True, kw_only=True):
    done: list[UUID]


class Supersede(Wire, frozen=True, kw_only=True):
    """The manager learned it first: stop everything, save aside."""

    epoch: int


EXECUTOR_STATUS = Endpoint(
    "/status", Empty, ExecutorStatus, method="GET", idempotent=True, deadline=3.0
)
EXECUTOR_DELIVER = Endpoint("/commands", Deliver, Delivered, idempotent=True, deadline=5.0)
EXECUTOR_SUPERSEDE = Endpoint("/supersede", Supersede, Empty, idempotent=True, deadline=5.0)


# --- manager → relay (the relay's admin socket) ----------------------------------------------


class RelayPolicy(Wire, frozen=True, kw_only=True):
    """What one worker's sockets may reach. Everything else is denied."""

    worker_id: UUID
    epoch: int
    control_dir: str
    """Holds `relay.sock`, bound by the relay: this worker's callbacks and object URLs only."""
    token: str
    """Added to its callbacks outside; never written to a place that a session can read."""


class RelayRoutes(Wire, frozen=True, kw_only=True):
    control_plane_url: str
    object_store_url: str


class RelayWorkers(Wire, frozen=True, kw_only=True):
    boot: str
    """Changes when the relay was restarted: every policy must be pushed again."""
    routes: RelayRoutes | None
    workers: list[UUID]


RELAY_ROUTES = Endpoint(
    "/routes", RelayRoutes, RelayWorkers, method="PUT", idempotent=True, deadline=3.0
)
RELAY_PUT = Endpoint(
    "/workers/{worker_id}", RelayPolicy, Empty, method="PUT", idempotent=True, deadline=5.0
)
RELAY_DELETE = Endpoint(
    "/workers/{worker_id}", Empty, Empty, method="DELETE", idempotent=True, deadline=5.0
)
RELAY_LIST = Endpoint("/workers", Empty, RelayWorkers, method="GET", idempotent=True, deadline=3.0)


# --- clients ---------------------------------------------------------------------------------


class SessionWorker(Wire, frozen=True, kw_only=True):
    id: UUID
    session_id: UUID
    project_id: UUID
    epoch: int
    manager_id: UUID
    state: WorkerState
    current: bool
    pinned: bool = False
    """Kept until it has saved."""
    reason: str = ""
    created_at: datetime.datetime
    lease_until: datetime.datetime
    ended_at: datetime.datetime | None = None


class SessionWorkerPage(Wire, frozen=True, kw_only=True):
    items: list[SessionWorker]
    next_cursor: str | None = None


class RemoveSessionWorker(Body, frozen=True, kw_only=True):
    force: bool = False
    """Also when it is not saved; a live run is tried again in a new worker."""


class RemovalRequested(Wire, frozen=True, kw_only=True):
    """The manager is told; the worker leaves the list when its volume is gone."""

    worker_id: UUID
