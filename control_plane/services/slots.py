"""Room for what takes long: so much of it at once in this process, and a share of it for each.

Whoever comes later waits, for a while: one person who sends a byte a minute holds up nobody else
for ever.
"""

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from uuid import UUID

from chassis.errors import BerthError
from contracts.errors import Code

WAIT_SECONDS = 60.0


class Slots:
    """`each`: of one person at once."""

    def __init__(self, most: int, *, each: int, seconds: float = WAIT_SECONDS) -> None:
        self._most = most
        self._each = each
        self._seconds = seconds
        self._held: Counter[UUID] = Counter()
        self._waiting: set[asyncio.Future[None]] = set()

    async def wait(self, by: UUID) -> None:
        """Until there is one, which the caller then takes at once. Raises `rate_limited`."""
        try:
            async with asyncio.timeout(self._seconds):
                while self._held.total() >= self._most or self._held[by] >= self._each:
                    await self._change()
        except TimeoutError:
            raise BerthError(
                Code.RATE_LIMITED,
                f"{self._most} of these run already, {self._held[by]} of them yours: try again",
                retry_after=self._seconds,
            ) from None

    @contextmanager
    def taken(self, by: UUID) -> Generator[None]:
        """After `wait`."""
        self._held[by] += 1
        try:
            yield
        finally:
            self._held[by] -= 1
            self._held += Counter()
            for one in self._waiting:
                if not one.done():
                    one.set_result(None)

    async def _change(self) -> None:
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(change)
        try:
            await change
        finally:
            self._waiting.discard(change)
