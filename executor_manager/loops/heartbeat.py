"""Lists our workers to the control plane, renewing those that answered; takes its verdicts and
what administrators want of us.
"""

import asyncio
from dataclasses import dataclass

from chassis.errors import CallFailed
from chassis.logs import get_logger
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.orders import OrderBook
from executor_manager.services.verdicts import Verdicts
from executor_manager.services.workers import Within, Workers

_log = get_logger()


@dataclass(slots=True, kw_only=True)
class HeartbeatLoop:
    control_plane: ControlPlane
    workers: Workers
    verdicts: Verdicts
    orders: OrderBook
    within: Within
    draining: bool = False
    """By our own end; what is ordered the control plane knows."""

    async def run_once(self) -> None:
        now = asyncio.get_running_loop().time()
        states = [worker.reported(now, self.within) for worker in self.workers]
        try:
            answer = await self.control_plane.heartbeat(states, draining=self.draining)
        except CallFailed as failure:
            _log.warning("heartbeat_failed", error=str(failure))
            return
        self.orders.follow(answer.orders)
        for told in answer.workers:
            if (worker := self.workers.get(told.worker_id)) is not None:
                if told.egress is not None:
                    # the relay's supervision brings it there
                    worker.egress, worker.egress_version = told.egress, told.egress_version
                self.verdicts.apply(worker, told.verdict)
