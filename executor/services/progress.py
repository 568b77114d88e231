"""Tells of a save or a restore that takes its time, while it does."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from chassis.clock import Clock
from contracts.worker_events import WorkspaceProgress
from executor.allocation import given_back
from executor.reporter import Reporter, RunReporter
from executor.workspace.progress import Progress

EACH_SECONDS = 1.0


@asynccontextmanager
async def reported(
    progress: Progress, reporter: Reporter | RunReporter, clock: Clock
) -> AsyncGenerator[None]:
    """Once in `EACH_SECONDS`, and nothing of what is over sooner. Its memory is given back."""
    telling = asyncio.create_task(_tell(progress, reporter, clock), name="progress")
    try:
        with given_back():
            yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(progress: Progress, reporter: Reporter | RunReporter, clock: Clock) -> None:
    while True:
        await clock.sleep(EACH_SECONDS)
        await reporter.event(
            WorkspaceProgress(
                phase=progress.phase,
                files=progress.files,
                bytes=progress.bytes,
                total_files=progress.total_files,
                total_bytes=progress.expected_bytes,
                bytes_per_second=progress.bytes_per_second,
                eta_seconds=progress.eta_seconds,
            )
        )
