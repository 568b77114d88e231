"""Carries on what jobs took up, on every replica: `services.jobs`."""

from chassis.loop import Loop
from chassis.metrics import Metrics
from control_plane.services.jobs import Jobs
from control_plane.settings import Settings

FORGET_SECONDS = 3600.0


def job_loops(jobs: Jobs, settings: Settings, metrics: Metrics) -> list[Loop]:
    return [
        Loop("jobs", settings.poll_seconds, jobs.run_once, metrics),
        Loop("forget_jobs", FORGET_SECONDS, jobs.forget, metrics),
    ]
