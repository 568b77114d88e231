"""Carries on what verifications took up: `services.verifying`."""

from chassis.loop import Loop
from control_plane.metrics import ControlPlaneMetrics
from control_plane.services.verifying import Verifying
from control_plane.settings import Settings

FORGET_SECONDS = 3600.0


def verification_loops(
    verifying: Verifying, settings: Settings, metrics: ControlPlaneMetrics
) -> list[Loop]:
    async def verify() -> None:
        for what, count in (await verifying.run_once()).items():
            metrics.verified.labels(what).inc(count)

    return [
        Loop("verifications", settings.poll_seconds, verify, metrics),
        Loop("forget_verifications", FORGET_SECONDS, verifying.forget, metrics),
    ]
