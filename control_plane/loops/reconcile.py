"""Puts right what no longer agrees, without being asked: `services.reconcile`."""

from chassis.loop import Loop
from chassis.metrics import Metrics
from control_plane.services.reconcile import Reconcile
from control_plane.settings import Settings


def reconcile_loops(reconcile: Reconcile, settings: Settings, metrics: Metrics) -> list[Loop]:
    seldom = max(1.0, settings.lease_seconds / 3)
    return [
        Loop("stale_runs", seldom, reconcile.stale_runs, metrics),
        Loop("overdue_saves", seldom, reconcile.overdue_saves, metrics),
    ]
