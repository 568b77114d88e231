"""Bytes both ways, none of them read: one side is read no faster than the other takes it."""

import asyncio
from collections.abc import Callable

CHUNK = 64 * 1024


class Pipe:
    """`spend` is asked for each part before it goes on, and raises where it may not."""

    def __init__(self, *, idle_seconds: float, spend: Callable[[int], None]) -> None:
        self._idle_seconds = idle_seconds
        self._spend = spend

    async def run(
        self,
        inside: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        outside: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        """Until both have ended; the end of one is passed on as that. Raises what `spend` raises,
        `OSError`, and `TimeoutError` where nothing moves.
        """
        clock = asyncio.get_running_loop()
        async with asyncio.timeout(self._idle_seconds) as deadline:

            def moved() -> None:
                deadline.reschedule(clock.time() + self._idle_seconds)

            ways = [
                asyncio.create_task(self._forward(inside[0], outside[1], moved)),
                asyncio.create_task(self._forward(outside[0], inside[1], moved)),
            ]
            try:
                await asyncio.gather(*ways)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.wait(ways)

    async def _forward(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        moved: Callable[[], None],
    ) -> None:
        while part := await reader.read(CHUNK):
            self._spend(len(part))
            writer.write(part)
            await writer.drain()
            moved()
        writer.write_eof()
