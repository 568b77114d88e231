"""What administrators want of this manager: followed as soon as an answer tells it, kept nowhere.

The control plane keeps it, and tells it with each registration and each heartbeat.
"""

from dataclasses import dataclass, field

from chassis.logs import get_logger
from contracts.managers import Orders
from executor_manager.services.warm_pool import WarmPool
from executor_manager.services.workers import Workers

_log = get_logger()


@dataclass(slots=True, kw_only=True)
class OrderBook:
    workers: Workers
    warm: WarmPool
    own_max_workers: int
    """Our own setting: the most, whatever is ordered."""
    own_warm: int
    present: Orders = field(default_factory=Orders)
    ended: bool = False
    """We stop: nothing is ordered any more."""

    def follow(self, orders: Orders) -> None:
        if self.ended or orders == self.present:
            return
        self.present = orders
        asked = orders.max_workers
        most = self.own_max_workers if asked is None else min(self.own_max_workers, asked)
        self.workers.resize(0 if orders.draining else most)
        self.warm.size = self.own_warm if orders.warm is None else orders.warm
        _log.info(
            "orders", max_workers=most, warm=self.warm.size, draining=orders.draining, asked=asked
        )
