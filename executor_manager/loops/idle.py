"""Asks whether workers that have been idle for long may stop; the command then comes to them.

On a full host the one that has been idle longest goes early, one at a time, so that there is room
for the next session.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from chassis.errors import CallFailed
from chassis.logs import get_logger
from contracts.executors import ExecutorPhase
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.duties import Duties
from executor_manager.services.workers import Stage, Worker, Workers

ASK_AGAIN_SECONDS = 30.0

_log = get_logger()


@dataclass(slots=True, kw_only=True)
class IdleLoop:
    workers: Workers
    duties: Duties
    control_plane: ControlPlane
    idle_after: float
    idle_after_when_full: float

    async def run_once(self) -> None:
        idle = {worker.id: seconds for worker in self.workers if (seconds := self._idle(worker))}
        for worker in self.workers:
            if idle.get(worker.id, 0.0) >= self.idle_after:
                await self._ask(worker)
        if idle and not self.workers.free and not any(map(self._stops, self.workers)):
            await self._make_room(idle)

    async def _make_room(self, idle: dict[UUID, float]) -> None:
        """By the one that is idle longest; by the next, if that one is refused."""
        for worker_id in sorted(idle, key=lambda one: idle[one], reverse=True):
            worker = self.workers.get(worker_id)
            if worker is None or idle[worker_id] < self.idle_after_when_full:
                continue
            await self._ask(worker)
            if self._stops(worker):
                return

    def _idle(self, worker: Worker) -> float:
        """For how long; 0 for one that must not be asked."""
        status = worker.status
        if worker.stage is not Stage.LIVE or worker.unknown or self.duties.busy(worker):
            return 0.0
        if status is None or self._stops(worker) or status.phase is not ExecutorPhase.READY:
            return 0.0
        return status.idle_seconds or 0.0

    def _stops(self, worker: Worker) -> bool:
        """It was granted lately."""
        now = asyncio.get_running_loop().time()
        return worker.stop_asked_at is not None and now - worker.stop_asked_at < ASK_AGAIN_SECONDS

    async def _ask(self, worker: Worker) -> None:
        try:
            granted = await self.control_plane.ask_stop(worker, drain=False)
        except CallFailed as failure:
            _log.warning("stop_ask_failed", worker=worker.id, error=str(failure))
            return
        if granted:
            worker.stop_asked_at = asyncio.get_running_loop().time()
            _log.info("idle_stop", worker=worker.id, epoch=worker.epoch)
