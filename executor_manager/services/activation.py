"""A fresh worker becomes ready, or fails with a named reason; a dead one is started again."""

import asyncio
from dataclasses import dataclass, field

from chassis.failpoints import failpoint
from chassis.logs import get_logger
from contracts.reasons import Reason
from executor_manager.containers.backend import ContainerState
from executor_manager.containers.errors import BackendError, NameTaken
from executor_manager.metrics import ManagerMetrics
from executor_manager.services import former_ends, spools
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.setbacks import growing
from executor_manager.services.startup import EXITED, Startup, StartupFailed
from executor_manager.services.workers import Stage, Worker, Workers

FAILED_GRACE = 2.0
RELAY_AWAY = "relay_timeout"

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """With a worker that dies."""

    restarts: int
    backoff: float
    healthy_after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Activation:
    workers: Workers
    startup: Startup
    control_plane: ControlPlane
    metrics: ManagerMetrics
    patience: Patience
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))

    async def activate(self, worker: Worker) -> None:
        """Creates or adopts; `ready` or `failed` is reported."""
        async with self.slots:
            try:
                await self.startup.activate(worker)
            except StartupFailed as failure:
                await self._end(worker, failure)
                return
        self.workers.stage(worker, Stage.LIVE)
        await failpoint("activation.ready")
        await self.control_plane.report(worker, "ready")

    async def adopt(self, worker: Worker) -> None:
        """After our own restart: what runs is taken over, what died is started again or failed."""
        container = await self.startup.backend.get(worker.name)
        if container is None:
            await self._without_container(worker)
            return
        try:
            await self.startup.connect(worker, container)
        except StartupFailed as failure:
            # a relay that is away is told when it is back: no reason to end what runs
            if failure.reason != RELAY_AWAY:
                await self.fail(worker, failure.reason, failure.detail)
                return
        if container.state is ContainerState.PAUSED:
            container = await self.startup.backend.resume(worker.name)
        if container.state is ContainerState.RUNNING:
            self.workers.stage(worker, Stage.LIVE)
            # we may have ended before this was said, and a second time does no harm
            await self.control_plane.report(worker, "ready")
        elif container.state is ContainerState.CREATED:
            self.workers.stage(worker, Stage.ACTIVATING)
            await self.activate(worker)
        else:
            await self.restart(worker)

    async def restart(self, worker: Worker) -> None:
        """In the same epoch, if nothing of the former process is left and its spool is whole."""
        lived = asyncio.get_running_loop().time() - worker.staged_at
        if worker.stage is Stage.LIVE and lived > self.patience.healthy_after:
            worker.restarts = 0
        self.workers.stage(worker, Stage.RESTARTING)
        while not (reason := await self._obstacle(worker)):
            pause = growing(self.patience.backoff, worker.restarts)
            worker.restarts += 1
            self.metrics.restarts.inc()
            _log.warning("worker_restarting", times=worker.restarts, pause=pause)
            await asyncio.sleep(pause)
            await self._tell_end(worker)
            try:
                await self.startup.run(worker)
            except StartupFailed as failure:
                if failure.reason != EXITED:
                    await self._end(worker, failure)
                    return
            else:
                self.workers.stage(worker, Stage.LIVE)
                return
        await self.fail(worker, reason, f"after {worker.restarts} restarts")

    async def fail(self, worker: Worker, reason: str, detail: str) -> None:
        """Its processes end, its directories stay until a verdict says otherwise."""
        _log.error("worker_failed", reason=reason, detail=detail)
        try:
            if await self.startup.backend.get(worker.name) is not None:
                await self.startup.backend.stop(worker.name, FAILED_GRACE)
        except BackendError as error:
            _log.warning("stop_failed", reason=error.reason, detail=str(error))
        self.workers.stage(worker, Stage.FAILED)
        await self.control_plane.report(worker, "failed", reason, detail[:1000])

    async def _end(self, worker: Worker, failure: StartupFailed) -> None:
        """Of a backend that is away nothing is known: the worker's supervision tries again."""
        if failure.undecided:
            _log.warning("startup_undecided", reason=failure.reason, detail=failure.detail)
            return
        await self.fail(worker, failure.reason, failure.detail)

    async def _without_container(self, worker: Worker) -> None:
        if worker.stage is Stage.ACTIVATING:  # the backend was away when it was to be made
            await self.activate(worker)
        else:
            await self.fail(worker, "container_missing", "it is not on this host")

    async def _tell_end(self, worker: Worker) -> None:
        try:
            if (container := await self.startup.backend.get(worker.name)) is not None:
                await asyncio.to_thread(former_ends.tell_end, container)
        except (BackendError, OSError) as error:
            # it is then told as a restart
            _log.warning("end_not_told", error=str(error))

    async def _obstacle(self, worker: Worker) -> str:
        """Why it cannot be started in the same epoch; empty if it can."""
        try:
            container = await self.startup.backend.get(worker.name)
        except NameTaken as error:
            return error.reason
        if container is None:
            return "container_missing"
        if not container.tree_gone:
            return "process_tree_left"
        if not await asyncio.to_thread(spools.intact, container):
            return "spool_lost"
        if worker.restarts >= self.patience.restarts:
            return Reason.OUT_OF_MEMORY if container.out_of_memory else "restarted_too_often"
        return ""
