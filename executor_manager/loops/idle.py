"""Asks whether workers that have been idle for long may stop; the command then comes to them."""

import asyncio
from dataclasses import dataclass

from chassis.errors import CallFailed
from chassis.logs import get_logger
from contracts.workers import ExecutorPhase
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

    async def run_once(self) -> None:
        for worker in self.workers:
            if self._may_ask(worker):
                await self._ask(worker)

    def _may_ask(self, worker: Worker) -> bool:
        status = worker.status
        if worker.stage is not Stage.LIVE or status is None or self.duties.busy(worker):
            return False
        now = asyncio.get_running_loop().time()
        if worker.stop_asked_at is not None and now - worker.stop_asked_at < ASK_AGAIN_SECONDS:
            return False
        return (
            status.phase is ExecutorPhase.READY
            and status.idle_seconds is not None
            and status.idle_seconds >= self.idle_after
        )

    async def _ask(self, worker: Worker) -> None:
        try:
            granted = await self.control_plane.ask_stop(worker, drain=False)
        except CallFailed as failure:
            _log.warning("stop_ask_failed", worker=worker.id, error=str(failure))
            return
        if granted:
            worker.stop_asked_at = asyncio.get_running_loop().time()
            _log.info("idle_stop", worker=worker.id, epoch=worker.epoch)
