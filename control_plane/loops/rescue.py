"""The duties that move lines nobody else moves: `services.rescue`, each in its own time."""

from chassis.loop import Loop
from chassis.metrics import Metrics
from control_plane.services.rescue import Rescue
from control_plane.settings import Settings

MIN_INTERVAL = 0.2


def rescue_loops(rescue: Rescue, settings: Settings, metrics: Metrics) -> list[Loop]:
    """Reclaim looks ten times a lease, so that a lost worker costs at most 1.1 leases."""
    often = max(MIN_INTERVAL, settings.lease_seconds / 10)
    seldom = max(1.0, settings.lease_seconds / 3)
    return [
        Loop("reclaim", often, rescue.reclaim, metrics),
        Loop("overdue_cancels", often, rescue.end_overdue_cancels, metrics),
        Loop("park", often, rescue.park, metrics),
        Loop("block_unoffered", seldom, rescue.block_unoffered, metrics),
        Loop("repair_lines", seldom, rescue.repair_lines, metrics),
        Loop("overdue_requests", seldom, rescue.tell_overdue, metrics),
    ]
