"""The workers of this host as the manager knows them; all of it can be rebuilt after a restart.

    activating → live ⇄ restarting → stopped        (released: saved, its process ended)
         └──────────┴────────┴─────→ failed | kept  (reported; what becomes of it the verdicts say)

Who is current, released or superseded only the control plane knows: it says so in the verdicts.
"""

import asyncio
import enum
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import assert_never
from uuid import UUID

from contracts.commands import AnyCommand
from contracts.containers import ContainerChoice
from contracts.disks import DiskMeans
from contracts.egress import EgressPolicy
from contracts.executors import ExecutorPhase, ExecutorStatus
from contracts.managers import StartStep, WorkerReportedState
from contracts.workers import WorkerGrant, WorkerLimits, WorkerState
from executor_manager.containers.backend import Identity
from executor_manager.services.setbacks import Setbacks


class Stage(enum.StrEnum):
    ACTIVATING = "activating"
    LIVE = "live"
    RESTARTING = "restarting"
    """In the same epoch."""
    STOPPED = "stopped"
    FAILED = "failed"
    KEPT = "kept"
    """Superseded, and could not save aside: its volume stays for a while."""


HAS_PROCESS = frozenset({Stage.ACTIVATING, Stage.LIVE, Stage.RESTARTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Within:
    """Seconds for which a worker counts as answering."""

    answered: float
    starting: float


@dataclass(slots=True, eq=False, kw_only=True)
class Worker:
    identity: Identity
    token: str
    """Empty: it was found on disk, and the relay may still know its token."""
    stage: Stage
    limits: WorkerLimits = field(default_factory=WorkerLimits)
    """What its container may use, when it is made."""
    choice: ContainerChoice = field(default_factory=ContainerChoice)
    """Of its app, when its container is made."""
    image: str = ""
    """The id of what its container was made of; empty: not known, or there are no images."""
    egress: EgressPolicy = field(default_factory=EgressPolicy)
    """What its agent may reach: as the control plane said last."""
    egress_version: str = ""
    pushed: tuple[str, EgressPolicy] | None = None
    """Token and policy that the relay took last."""
    disk: DiskMeans | None = None
    """What holds its disk limit; None: it has none, or was made before our time."""
    steps: list[StartStep] = field(default_factory=list[StartStep])
    """Of its latest start, in the order of their names in the contract."""
    status: ExecutorStatus | None = None
    answered_at: float | None = None
    """By the event loop's clock."""
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    """Its executor has answered since it was started."""
    staged_at: float = 0.0
    """By the event loop's clock: since when it is in its stage."""
    restarts: int = 0
    stop_asked_at: float | None = None
    stopped_at: float | None = None
    """Wall clock: it must mean the same after our own restart."""
    inbox: dict[UUID, AnyCommand] = field(default_factory=dict[UUID, AnyCommand])
    """Not yet taken by its executor, in order."""
    unknown: bool = False
    """To the control plane, which said so last: nothing is done to it."""
    setbacks: Setbacks = field(default_factory=Setbacks)
    """Of what was tried to end or remove it."""

    @property
    def id(self) -> UUID:
        return self.identity.worker_id

    @property
    def epoch(self) -> int:
        return self.identity.epoch

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def relayed(self) -> tuple[str, EgressPolicy]:
        return self.token, self.egress

    @property
    def unpushed(self) -> bool:
        """Without a token there is nothing to push."""
        return bool(self.token) and self.pushed != self.relayed

    def started_anew(self) -> None:
        self.status = None
        self.answered_at = None
        self.answering.clear()

    def reported(self, now: float, within: Within) -> WorkerReportedState:
        return WorkerReportedState(
            worker_id=self.id,
            epoch=self.epoch,
            state=self._state(),
            answered=self._answered(now, within),
            idle_seconds=self._idle_seconds(),
            egress_version=self.egress_version,
        )

    def _idle_seconds(self) -> float | None:
        nothing_unsent = self.status is not None and self.status.spooled == 0
        return self.status.idle_seconds if self.status and nothing_unsent else None

    def _answered(self, now: float, within: Within) -> bool:
        # what these wait for is ours to bring about
        if self.stage in {Stage.ACTIVATING, Stage.RESTARTING}:
            return now - self.staged_at <= within.starting
        recent = self.answered_at is not None and now - self.answered_at <= within.answered
        return self.stage is Stage.LIVE and recent

    def _state(self) -> WorkerState:
        match self.stage:
            case Stage.ACTIVATING:
                return WorkerState.CREATING
            case Stage.LIVE | Stage.RESTARTING:
                return self._live_state()
            case Stage.STOPPED:
                return WorkerState.STOPPED
            case Stage.FAILED | Stage.KEPT:
                return WorkerState.FAILED
            case _:
                assert_never(self.stage)

    def _live_state(self) -> WorkerState:
        phase = self.status.phase if self.status else ExecutorPhase.READY
        if phase is ExecutorPhase.BUSY:
            return WorkerState.BUSY
        if phase in {ExecutorPhase.STOPPED, ExecutorPhase.SUPERSEDED}:
            return WorkerState.STOPPING
        idle = self.status is not None and bool(self.status.idle_seconds)
        return WorkerState.IDLE if idle else WorkerState.READY


def worker_of(grant: WorkerGrant, stage: Stage) -> Worker:
    identity = Identity(
        worker_id=grant.worker_id,
        session_id=grant.session_id,
        project_id=grant.project_id,
        epoch=grant.epoch,
    )
    return Worker(
        identity=identity,
        token=grant.token,
        stage=stage,
        limits=grant.limits,
        choice=ContainerChoice(image=grant.image, runtime=grant.runtime, tier=grant.tier),
        egress=grant.egress,
        egress_version=grant.egress_version,
    )


class Workers:
    """`room_made` is set when a worker gives its place back, or there are more places."""

    def __init__(self, max_workers: int) -> None:
        self._max_workers = max_workers
        self._workers: dict[UUID, Worker] = {}
        self.room_made = asyncio.Event()

    def __iter__(self) -> Iterator[Worker]:
        return iter(list(self._workers.values()))

    def get(self, worker_id: UUID) -> Worker | None:
        return self._workers.get(worker_id)

    def add(self, worker: Worker) -> None:
        self._workers[worker.id] = worker
        self.stage(worker, worker.stage)

    def drop(self, worker: Worker) -> None:
        self._workers.pop(worker.id, None)
        self.room_made.set()

    def stage(self, worker: Worker, stage: Stage) -> None:
        worker.stage = stage
        worker.staged_at = asyncio.get_running_loop().time()
        if stage not in HAS_PROCESS:
            self.room_made.set()

    def resize(self, max_workers: int) -> None:
        """Who is there stays, also where there are fewer places then."""
        more = max_workers > self._max_workers
        self._max_workers = max_workers
        if more:
            self.room_made.set()

    @property
    def most(self) -> int:
        return self._max_workers

    @property
    def free(self) -> int:
        running = sum(worker.stage in HAS_PROCESS for worker in self)
        return max(0, self._max_workers - running)
