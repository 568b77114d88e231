"""Brings a worker's executor up: directories, way out, process, first answer; each step timed."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from chassis.errors import CallFailed
from chassis.failpoints import failpoint
from chassis.logs import get_logger
from chassis.telemetry import span
from contracts.executors import ExecutorPhase, ExecutorStatus
from contracts.managers import StartStep
from contracts.reasons import Reason
from contracts.workers import WorkerLimits
from executor_manager.containers.backend import (
    Container,
    ContainerBackend,
    ContainerSpec,
    ContainerState,
    Identity,
    Limits,
)
from executor_manager.containers.errors import (
    BackendError,
    Missing,
    StartFailed,
    Timeout,
    Unreachable,
)
from executor_manager.metrics import ManagerMetrics
from executor_manager.services.executors import Executors, NotItsExecutor
from executor_manager.services.relay import Relay
from executor_manager.services.warm_pool import WarmPool
from executor_manager.services.ways_out import EGRESS, WaysOut
from executor_manager.services.workers import Stage, Worker

EXITED = "executor_exited"
RELAYS = frozenset({"relay_timeout", "relay_failed"})
ASK_FIRST = 0.01
ASK_LONGEST = 0.25
ASK_SHARE = 0.05
"""Of the time it has taken so far: what waiting for it may add."""
LOOK_SECONDS = 0.25
"""Between looks at the container of one that does not answer."""
MIB = 1024 * 1024

StepName = Literal["create", "relay", "start", "boot"]
STEPS: tuple[StepName, ...] = get_args(StepName)

T = TypeVar("T")

TOLD = frozenset({Reason.DISK_FULL, Reason.OUT_OF_MEMORY})
"""Limits that an executor names itself."""
_UP = frozenset({ExecutorPhase.READY, ExecutorPhase.BUSY})
_ENDED = frozenset({ExecutorPhase.FAILED, ExecutorPhase.STOPPED, ExecutorPhase.SUPERSEDED})

_log = get_logger()


class StartupFailed(Exception):
    """`undecided`: the backend was away all the time, so nothing is known of the worker."""

    def __init__(self, reason: str, detail: str, *, undecided: bool = False) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.undecided = undecided


@dataclass(slots=True)
class _Step:
    reason: str = ""
    """Why it failed."""
    away: BackendError | None = None

    async def insist(self, work: Callable[[], Awaitable[T]]) -> T:
        """Again while the backend is away: what is asked of it may be repeated."""
        while True:
            try:
                return await work()
            except (Unreachable, Timeout) as error:
                self.away = error
                _log.warning("backend_away", reason=error.reason, error=str(error))
            await asyncio.sleep(ASK_LONGEST)

    @contextmanager
    def named(self, name: StepName, deadline: float) -> Generator[None]:
        """Raises `StartupFailed` for what goes wrong inside."""
        try:
            yield
        except TimeoutError as error:
            if (away := self.away) is not None:
                raise self._failed(away.reason, str(away), undecided=True) from error
            detail = f"not done within {deadline:g} s"
            raise self._failed(f"{name}_timeout", detail) from error
        except BackendError as error:
            raise self._failed(error.reason, str(error)) from error
        except CallFailed as error:
            raise self._failed(f"{name}_failed", str(error)) from error
        except StartupFailed as error:
            self.reason = error.reason
            raise

    def _failed(self, reason: str, detail: str, *, undecided: bool = False) -> StartupFailed:
        self.reason = reason
        return StartupFailed(reason, detail, undecided=undecided)


@dataclass(slots=True, kw_only=True)
class Startup:
    backend: ContainerBackend
    relay: Relay
    executors: Executors
    ways_out: WaysOut
    warm: WarmPool
    metrics: ManagerMetrics
    deadline: float
    default_limits: Limits = field(default_factory=Limits)
    """Of workers whose grant does not say."""
    outage_grace: float = 900.0
    """The control plane's word at the registration."""

    async def activate(self, worker: Worker) -> None:
        """Raises `StartupFailed`. The whole start of a fresh one, until it is ready.

        Its way out is opened while the container starts: it is needed no earlier.
        """
        container = await self._create(worker)
        try:
            await self._bring_up(worker, container)
        except StartupFailed as failure:
            # a warm one may have suffered while it waited
            waited = container.state is ContainerState.PAUSED
            if not waited or failure.undecided or failure.reason in RELAYS:
                raise
            if not await self.warm.give_up(worker, failure.reason):
                raise
            await self.executors.forget(worker)
            await self._bring_up(worker, await self._create(worker, cold=True))

    async def connect(self, worker: Worker, container: Container) -> None:
        """Raises `StartupFailed`. The relay lets it out."""
        self.executors.at(worker, container.directories.control)
        async with self._step(worker, "relay"):
            await self._push(worker, container)

    async def run(self, worker: Worker) -> None:
        """Raises `StartupFailed`. Starts it again, and returns at its first answer: it becomes
        ready only when the control plane has taken what it left.
        """
        worker.steps.clear()
        worker.started_anew()
        await self._start(worker)
        await self._boot(worker, until_ready=False)

    def fresh(self, identity: Identity) -> ContainerSpec:
        """Of a session that asks for nothing special: what warm containers are made as."""
        return self._spec(Worker(identity=identity, token="", stage=Stage.ACTIVATING))

    def _spec(self, worker: Worker) -> ContainerSpec:
        return ContainerSpec(
            identity=worker.identity,
            environment={
                "BERTH_OUTAGE_GRACE_SECONDS": str(self.outage_grace),
                EGRESS: self.ways_out.granted(worker.id, worker.egress),
            },
            choice=worker.choice,
            limits=_limits(worker.limits, self.default_limits),
        )

    async def _create(self, worker: Worker, *, cold: bool = False) -> Container:
        """Paused, it is a warm one."""
        worker.steps.clear()
        spec = self._spec(worker)
        worker.disk = self.backend.disk_means(spec.limits)
        async with self._step(worker, "create") as step:
            container = None if cold else await self.warm.take(worker, spec)
            if container is None:
                container = await step.insist(lambda: self.backend.adopt_or_create(spec))
            worker.image = container.image
        await failpoint("startup.created")
        return container

    async def _bring_up(self, worker: Worker, container: Container) -> None:
        worker.started_anew()
        await _both(self.connect(worker, container), self._start(worker, container.state))
        await self._boot(worker, until_ready=True)

    async def _start(self, worker: Worker, state: ContainerState | None = None) -> None:
        async with self._step(worker, "start") as step:
            if state is ContainerState.PAUSED:
                resumed = await step.insist(lambda: self.backend.resume(worker.name))
                if resumed.state is not ContainerState.RUNNING:
                    raise StartFailed(f"it waited, and is {resumed.state} now")
            else:
                await step.insist(lambda: self.backend.start(worker.name))
        await failpoint("startup.started")

    async def _boot(self, worker: Worker, *, until_ready: bool) -> None:
        async with self._step(worker, "boot"):
            await self._wait_answer(worker, until_ready=until_ready)

    async def _push(self, worker: Worker, container: Container) -> None:
        """A relay that is just being started is waited for, within the step's deadline."""
        while True:
            try:
                await self.relay.push(worker, container)
            except CallFailed as failure:
                if failure.kind == "http":
                    raise
                await asyncio.sleep(ASK_LONGEST)
            else:
                return

    async def _wait_answer(self, worker: Worker, *, until_ready: bool) -> None:
        loop = asyncio.get_running_loop()
        begun = looked = loop.time()
        while True:
            status = await self._ask(worker) if self.executors.listens(worker) else None
            if status is None:
                if loop.time() - looked > LOOK_SECONDS:
                    await self._check_alive(worker)
                    looked = loop.time()
            elif status.phase in _UP or not until_ready:
                return
            elif status.phase in _ENDED:
                told = status.reason if status.reason in TOLD else f"executor_{status.phase}"
                raise StartupFailed(told, status.why)
            # a look at its socket costs nothing, and what it waits for is most often short
            waited = loop.time() - begun
            await asyncio.sleep(min(max(ASK_FIRST, waited * ASK_SHARE), ASK_LONGEST))

    async def _ask(self, worker: Worker) -> ExecutorStatus | None:
        try:
            worker.status = await self.executors.status(worker)
        except CallFailed:
            return None
        except NotItsExecutor as error:
            raise StartupFailed("another_executor", str(error)) from error
        worker.answered_at = asyncio.get_running_loop().time()
        worker.answering.set()
        return worker.status

    async def _check_alive(self, worker: Worker) -> None:
        try:
            container = await self.backend.get(worker.name)
            if container is None or container.state is ContainerState.CREATED:
                raise StartupFailed(Missing.reason, "somebody removed it while it started")
            if container.state is not ContainerState.EXITED:
                return
            printed = (await self.backend.logs(worker.name, 1000)).decode(errors="replace")
        except (Unreachable, Timeout):
            return  # nothing is known, so nothing is decided
        reason = Reason.OUT_OF_MEMORY if container.out_of_memory else EXITED
        raise StartupFailed(reason, f"exit code {container.exit_code}: {printed[-500:]}")

    @asynccontextmanager
    async def _step(self, worker: Worker, name: StepName) -> AsyncGenerator[_Step]:
        loop = asyncio.get_running_loop()
        begun, step = loop.time(), _Step()
        try:
            with span(f"startup {name}"), step.named(name, self.deadline):
                async with asyncio.timeout(self.deadline):
                    yield step
        finally:
            took = loop.time() - begun
            told = StartStep(step=name, duration_ms=round(took * 1000), reason=step.reason)
            worker.steps.append(told)
            worker.steps.sort(key=lambda one: STEPS.index(one.step))
            self.metrics.startup_seconds.labels(name).observe(took)
            _log.info("startup_step", step=name, seconds=round(took, 3), reason=step.reason)


def _limits(given: WorkerLimits, default: Limits) -> Limits:
    def size(mib: int | None, otherwise: int | None) -> int | None:
        return otherwise if mib is None else mib * MIB

    return Limits(
        cpus=default.cpus if given.cpus is None else given.cpus,
        memory_bytes=size(given.memory_mib, default.memory_bytes),
        disk_bytes=size(given.disk_mib, default.disk_bytes),
        pids=default.pids if given.pids is None else given.pids,
    )


async def _both(*works: Coroutine[Any, Any, None]) -> None:
    """The first failure of either ends both."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
