"""Collects what no snapshot names any more: `services.collection`."""

from chassis.loop import Loop
from control_plane.metrics import ControlPlaneMetrics
from control_plane.services.collection import Collection

INTERVAL_SECONDS = 300.0


def collection_loops(collection: Collection, metrics: ControlPlaneMetrics) -> list[Loop]:
    async def collect() -> None:
        for step, count in (await collection.run_once()).items():
            metrics.collected.labels(step).inc(count)

    return [Loop("collection", INTERVAL_SECONDS, collect, metrics)]
