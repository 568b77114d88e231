"""So many bytes a second, and no more: whoever took them waits until they were due."""

import asyncio

from chassis.clock import Clock


class Pace:
    def __init__(self, clock: Clock, bytes_per_second: float) -> None:
        self._clock = clock
        self._rate = bytes_per_second
        self._due = 0.0
        self._turn = asyncio.Lock()

    async def take(self, size: int) -> None:
        async with self._turn:
            now = self._clock.monotonic()
            self._due = max(self._due, now) + size / self._rate
            await self._clock.sleep(self._due - now)
