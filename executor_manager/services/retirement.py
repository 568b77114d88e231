"""How workers end: released ones are stopped and later removed, superseded ones save aside first.

Nothing is deleted that may not be saved elsewhere: a superseded worker that can't save is kept.
What the backend refuses is raised, and put off for a while: whoever asks then asks again.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from chassis.clock import wall_time
from chassis.errors import CallFailed
from chassis.failpoints import failpoint
from chassis.logs import get_logger
from contracts.executors import ExecutorPhase, ExecutorStatus
from executor_manager.containers.backend import Container, ContainerBackend, ContainerState
from executor_manager.containers.errors import BackendError
from executor_manager.metrics import ManagerMetrics
from executor_manager.services import spools
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.executors import Executors, NotItsExecutor
from executor_manager.services.relay import Relay
from executor_manager.services.startup import Startup, StartupFailed
from executor_manager.services.workers import Stage, Worker, Workers

ASK_PAUSE = 0.2
SAVED = frozenset({ExecutorPhase.STOPPED, ExecutorPhase.SUPERSEDED})
ENDED = SAVED | {ExecutorPhase.FAILED}

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    workers: Workers
    backend: ContainerBackend
    executors: Executors
    relay: Relay
    startup: Startup
    control_plane: ControlPlane
    metrics: ManagerMetrics
    stop_grace: float
    supersede_deadline: float

    async def release(self, worker: Worker) -> None:
        """Saved and committed: its process may end as soon as it says so itself."""
        async with self._persisting(worker):
            await self._release(worker)

    async def supersede(self, worker: Worker) -> None:
        async with self._persisting(worker):
            await self._supersede(worker)

    async def remove(self, worker: Worker) -> None:
        """With its volume. Only after a save was confirmed, or when it was asked for by force."""
        async with self._persisting(worker):
            await self._remove(worker)

    async def remove_by_force(self, worker: Worker) -> None:
        async with self._persisting(worker):
            if await self.backend.get(worker.name) is not None:
                await self.backend.stop(worker.name, 0)
            await self._remove(worker)

    async def _release(self, worker: Worker) -> None:
        container = await self.backend.get(worker.name)
        if container is None:
            await self._gone(worker)
            return
        if container.state is ContainerState.RUNNING and not await self._is_quiet(worker):
            return  # the next verdict asks again
        container = await self.backend.stop(worker.name, self.stop_grace)
        worker.stopped_at = container.stopped_at or wall_time().timestamp()
        if worker.stage is Stage.STOPPED:
            return
        await self.relay.delete(worker)
        self.workers.stage(worker, Stage.STOPPED)
        await self.control_plane.report(worker, "stopped")

    async def _supersede(self, worker: Worker) -> None:
        container = await self.backend.get(worker.name)
        if container is None:
            await self._gone(worker)
            return
        if await self._nothing_to_save(worker, container) or await self._save_aside(worker):
            await self._remove(worker)
            return
        container = await self.backend.stop(worker.name, self.stop_grace)
        worker.stopped_at = container.stopped_at or wall_time().timestamp()
        self.workers.stage(worker, Stage.KEPT)
        self.metrics.kept.inc()
        _log.error("worker_kept", remedy="its files are in the directory", path=_where(container))

    async def _remove(self, worker: Worker) -> None:
        if await self.backend.get(worker.name) is not None:
            await self.backend.stop(worker.name, self.stop_grace)
            # nobody starts it again, and it has no place any more, however long its removal takes
            self.workers.stage(worker, Stage.STOPPED)
            await failpoint("removal.stopped")
            await self.backend.remove(worker.name)
        await self._gone(worker)

    @asynccontextmanager
    async def _persisting(self, worker: Worker) -> AsyncGenerator[None]:
        setbacks = worker.setbacks
        try:
            yield
        except BackendError as error:
            setbacks.add(error)
            if setbacks.stuck and not setbacks.told:
                setbacks.told = True
                _log.error("worker_stuck", times=setbacks.count, reason=error.reason)
                await self.control_plane.report(worker, "stuck", error.reason, str(error)[:1000])
            raise
        setbacks.clear()

    async def _gone(self, worker: Worker) -> None:
        await self.relay.delete(worker)
        await self.executors.forget(worker)
        await self.control_plane.report(worker, "removed")
        self.workers.drop(worker)
        _log.info("worker_removed")

    async def _is_quiet(self, worker: Worker) -> bool:
        status = await self._status(worker)
        return status is not None and status.phase in SAVED

    async def _nothing_to_save(self, worker: Worker, container: Container) -> bool:
        if worker.stage is Stage.STOPPED or container.state is ContainerState.CREATED:
            return True
        return await asyncio.to_thread(spools.untouched, container)

    async def _save_aside(self, worker: Worker) -> bool:
        """Told so, it stops everything and saves; one that hangs or died is started again, once."""
        for start in (False, True):
            if start and not await self._start_again(worker):
                return False
            try:
                async with asyncio.timeout(self.supersede_deadline):
                    if await self._saved(worker):
                        return True
            except TimeoutError:
                _log.warning("side_save_timeout", seconds=self.supersede_deadline)
            await self.backend.stop(worker.name, self.stop_grace)
        return False

    async def _saved(self, worker: Worker) -> bool:
        """False: it ended or gave up without."""
        while True:
            container = await self.backend.get(worker.name)
            if container is None or container.state is not ContainerState.RUNNING:
                return False
            self.executors.at(worker, container.directories.control)
            status = await self._status(worker)
            if status is not None and status.phase in ENDED:
                # with a reason it gave up: it failed at its start, or could not save aside
                return status.phase in SAVED and not status.reason
            await self._tell(worker)
            await asyncio.sleep(ASK_PAUSE)

    async def _tell(self, worker: Worker) -> None:
        try:
            await self.executors.supersede(worker)
        except CallFailed as failure:
            _log.info("supersede_unheard", error=str(failure))

    async def _status(self, worker: Worker) -> ExecutorStatus | None:
        try:
            return await self.executors.status(worker)
        except (CallFailed, NotItsExecutor):
            return None

    async def _start_again(self, worker: Worker) -> bool:
        container = await self.backend.get(worker.name)
        if container is None or not container.tree_gone:
            return False
        if not await asyncio.to_thread(spools.intact, container):
            return False
        try:
            await self.startup.connect(worker, container)
            await self.startup.run(worker)
        except StartupFailed as failure:
            _log.warning("start_to_save_failed", reason=failure.reason, detail=failure.detail)
            return False
        return True


def _where(container: Container) -> str:
    # an image of its disk stands beside the directory
    return str(container.directories.workspace.parent)
