"""What managers say to the control plane: registration, heartbeat, claim, commands, changes."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from contracts.commands import AnyCommand
from contracts.containers import ContainerOffer
from contracts.disks import DiskMeans
from contracts.egress import EgressPolicy
from contracts.endpoint import Endpoint
from contracts.preflight import PreflightFinding
from contracts.wire import Name, Wire
from contracts.workers import Verdict, WorkerGrant, WorkerState


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
    url: str = ""
    """Where gateways reach this manager, for workspace bytes; empty: they cannot."""
    isolation: dict[str, bool] = msgspec.field(default_factory=dict[str, bool])
    """What its backend really does, by capability."""
    containers: ContainerOffer = msgspec.field(default_factory=ContainerOffer)
    """What it grants to apps; what it does not, it is not given."""
    preflight: list[PreflightFinding] = msgspec.field(default_factory=list[PreflightFinding])
    """What it found when it looked at its host."""


class Orders(Wire, frozen=True, kw_only=True):
    """What administrators want of a manager; it follows from the next answer on."""

    max_workers: int | None = None
    """Never above its own setting; None: that."""
    warm: int | None = None
    """Containers kept started beforehand; None: its own setting."""
    draining: bool = False
    """Takes nothing new; its workers are saved and released, and live runs go on elsewhere."""


class Registered(Wire, frozen=True, kw_only=True):
    incarnation: int
    """Supersedes every lower one of this manager for manager calls."""
    workers: list[WorkerGrant]
    lease_seconds: float
    heartbeat_seconds: float
    outage_grace_seconds: float
    idle_after_seconds: float
    remove_after_seconds: float
    orders: Orders = Orders()


class WorkerReportedState(Wire, frozen=True, kw_only=True):
    worker_id: UUID
    epoch: int
    state: WorkerState
    answered: bool
    """Its executor answered the manager lately: only then the lease is renewed."""
    idle_seconds: float | None = None
    """How long its executor has had no run and nothing unsent; None while it has."""
    egress_version: str = ""
    """Of the policy that it was given last; empty: it was given none."""


class Heartbeat(Wire, frozen=True, kw_only=True):
    incarnation: int
    draining: bool = False
    workers: list[WorkerReportedState]


class WorkerVerdict(Wire, frozen=True, kw_only=True):
    worker_id: UUID
    verdict: Verdict
    """`superseded`: it may save aside, then it is removed. `unknown`: report, never kill."""
    egress: EgressPolicy | None = None
    """In force instead of the one that was given last; None: that one still is."""
    egress_version: str = ""


class HeartbeatAnswer(Wire, frozen=True, kw_only=True):
    workers: list[WorkerVerdict]
    orders: Orders = Orders()


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


class StartStep(Wire, frozen=True, kw_only=True):
    """One of the manager's steps of a start; the executor tells its own as events."""

    step: Literal["create", "relay", "start", "boot"]
    duration_ms: int
    reason: str = ""
    """Why it failed; empty: it did not."""


class WorkerChange(Wire, frozen=True, kw_only=True):
    """What happened to a worker on its host.

    `failed`: it did not become ready, or was lost with its spool. `stuck`: it is over, and its
    backend refuses to end or remove it; that is tried again, ever more rarely.
    """

    incarnation: int
    epoch: int
    change: Literal["ready", "failed", "stopped", "stuck", "removed"]
    reason: str = ""
    detail: str = ""
    steps: list[StartStep] = msgspec.field(default_factory=list[StartStep])
    """Of the start that this ends, in order."""
    disk: DiskMeans | None = None
    """With `ready`: what holds its disk limit; None: as it was."""
    image: str = ""
    """The id of what its container is made of; empty: not known, or its backend has no images."""


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
