"""Carries the outbox as soon as something is in it: `services.projector`."""

import asyncio

from chassis.clock import Clock, SystemClock
from chassis.loop import Loop
from chassis.metrics import Metrics
from control_plane.services.projector import Projector
from control_plane.services.wakeups import Wakeups

HELD_PAUSE = 0.02
HELD_TRIES = 25
"""A project's stream that an API call holds is free again within milliseconds."""

LONG_SECONDS = 3600.0


class ProjectorLoop:
    """As a `Loop`, woken by `outbox`. `interval` in seconds is the longest that a row waits."""

    def __init__(
        self,
        projector: Projector,
        wakeups: Wakeups,
        metrics: Metrics,
        *,
        interval: float,
        clock: Clock | None = None,
    ) -> None:
        self._projector = projector
        self._wakeups = wakeups
        self._clock = clock or SystemClock()
        self._loop = Loop("projector", interval, self.run_once, metrics)
        self._waker: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self._loop.name

    def start(self) -> None:
        self._loop.start()
        self._waker = asyncio.create_task(self._wake_always(), name="projector wakes")

    async def stop(self) -> None:
        if self._waker is not None:
            self._waker.cancel()
            await asyncio.gather(self._waker, return_exceptions=True)
            self._waker = None
        await self._loop.stop()

    async def run_once(self) -> int:
        """Until the outbox is empty, or what is left is held by others for long."""
        carried, tries = 0, 0
        while tries < HELD_TRIES:
            batch = await self._projector.run_once()
            carried += batch
            if batch:
                continue
            if not await self._projector.anything_left():
                break
            tries += 1
            await self._clock.sleep(HELD_PAUSE)
        return carried

    async def _wake_always(self) -> None:
        with self._wakeups.subscribe("outbox") as woken:
            while True:
                if await woken.wait(LONG_SECONDS):
                    self._loop.wake()
