"""A drain: every worker is saved, released and stopped; its live run goes on elsewhere."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from chassis.errors import CallFailed
from chassis.logs import get_logger
from executor_manager.containers.backend import ContainerBackend
from executor_manager.containers.errors import BackendError
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.workers import HAS_PROCESS, Worker, Workers

ASK_SECONDS = 0.5

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    workers: Workers
    backend: ContainerBackend
    control_plane: ControlPlane
    hurry: Callable[[], None]
    """Makes the heartbeat ask for verdicts now."""
    deadline: float
    stop_grace: float

    async def run(self) -> None:
        """What was not released in time is stopped all the same: its spool is whole, and the next
        start goes on with it in the same epoch.
        """
        try:
            async with asyncio.timeout(self.deadline):
                await self._until_released()
        except TimeoutError:
            left = [str(worker.id) for worker in self._running()]
            _log.warning("drain_incomplete", workers=left, seconds=self.deadline)
        await asyncio.gather(*(self._end(worker) for worker in self._running()))

    async def _until_released(self) -> None:
        granted: set[object] = set()
        while left := self._running():
            for worker in left:
                if worker.id not in granted and await self._ask(worker):
                    granted.add(worker.id)
            self.hurry()
            await asyncio.sleep(ASK_SECONDS)

    def _running(self) -> list[Worker]:
        having = [worker for worker in self.workers if worker.stage in HAS_PROCESS]
        return [worker for worker in having if not worker.unknown]

    async def _ask(self, worker: Worker) -> bool:
        try:
            return await self.control_plane.ask_stop(worker, drain=True)
        except CallFailed as failure:
            _log.info("drain_ask_failed", worker=worker.id, error=str(failure))
            return False

    async def _end(self, worker: Worker) -> None:
        try:
            await self.backend.stop(worker.name, self.stop_grace)
        except BackendError as error:
            _log.warning("stop_failed", worker=worker.id, reason=error.reason)
