"""Why an attempt is to end before its agent is done: asked for from outside, the first one counts.

An ending never skips what follows it: processes ended, workspace saved, one report.
"""

import asyncio
import enum
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Ending(enum.StrEnum):
    CANCELED = "canceled"
    PARKED = "parked"
    DRAINED = "drained"
    OUTAGE = "outage"
    """Nobody could be reached for too long."""
    DISK_FULL = "disk_full"
    """Its files are over their limit, and nothing but this ends their growing."""
    DISOWNED = "disowned"
    """The control plane has closed this attempt: there is nothing to report."""


class Ended(Exception):
    """The attempt was asked to end while this waited."""


class EndRequest:
    def __init__(self) -> None:
        self.ending: Ending | None = None
        self.canceled = False
        """A cancel came, maybe after another ending: it decides what is reported."""
        self._asked = asyncio.Event()

    def ask(self, ending: Ending) -> None:
        self.canceled = self.canceled or ending is Ending.CANCELED
        if self.ending is None:
            self.ending = ending
            self._asked.set()

    async def wait(self) -> None:
        await self._asked.wait()

    async def unless_ended(self, work: Coroutine[Any, Any, T]) -> T:
        """Raises `Ended`, with the work cancelled, if an end is asked for before it is done."""
        working = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self._asked.wait())
        try:
            await asyncio.wait({working, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise Ended
            return working.result()
        finally:
            await stopped(working)
            await stopped(asked)


async def stopped(task: asyncio.Future[Any]) -> None:
    task.cancel()
    await asyncio.wait({task})
