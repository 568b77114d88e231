"""While an administrator wants this host empty: every worker is asked to stop, until none is left.

Saved and released each goes, its live run interrupted; both go on elsewhere. Nothing is ended by
force, and there is no deadline: what cannot save stays until it can, or the drain is called off.
"""

import asyncio
from dataclasses import dataclass

from chassis.errors import CallFailed
from chassis.logs import get_logger
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.orders import OrderBook
from executor_manager.services.workers import HAS_PROCESS, Worker, Workers

INTERVAL = 0.5
ASK_AGAIN_SECONDS = 30.0
"""Of one that was told to stop: the command comes to it by itself."""

_log = get_logger()


@dataclass(slots=True, kw_only=True)
class DrainLoop:
    workers: Workers
    control_plane: ControlPlane
    orders: OrderBook

    async def run_once(self) -> None:
        for worker in self.workers:
            if not self.orders.present.draining:
                return
            if worker.stage in HAS_PROCESS and not worker.unknown and not _stops(worker):
                await self._ask(worker)

    async def _ask(self, worker: Worker) -> None:
        try:
            granted = await self.control_plane.ask_stop(worker, drain=True)
        except CallFailed as failure:
            _log.warning("drain_ask_failed", worker=worker.id, error=str(failure))
            return
        if granted:
            worker.stop_asked_at = asyncio.get_running_loop().time()
            _log.info("drain_stop", worker=worker.id, epoch=worker.epoch)


def _stops(worker: Worker) -> bool:
    """It was granted lately."""
    now = asyncio.get_running_loop().time()
    return worker.stop_asked_at is not None and now - worker.stop_asked_at < ASK_AGAIN_SECONDS
