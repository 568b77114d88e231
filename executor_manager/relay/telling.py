"""Tells the control plane, as the worker, what was denied to it.

Equal denials of a short time are one with a count. Of different ones so many are told in a minute;
the others are counted. A batch is told again under its id until it was taken or refused, and only
then the next: what waits meanwhile is bounded by the same number.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec

from chassis.clock import wall_time
from chassis.ids import new_id
from chassis.logs import get_logger
from contracts.egress import Denial, TellDenials

BATCH = 200
"""As `TellDenials` allows; the last place is kept for the number of those that did not fit."""
PER_SECONDS = 60.0
"""So long lasts the room of one batch: each becomes an event of the session."""
MORE = "more_denials"
"""The rule of an entry that stands for `count` others."""
RETRY_FIRST = 0.5
RETRY_LONGEST = 30.0
LAST_SECONDS = 3.0
"""For what is left when the worker's policy is withdrawn."""

Outcome = Literal["taken", "refused", "again"]
Tell = Callable[[TellDenials], Awaitable[Outcome]]
"""One attempt. It raises nothing."""
Key = tuple[str, str, str, int, str, str]

_log = get_logger()


class Telling:
    """Of one worker."""

    def __init__(self, tell: Tell, *, gather_seconds: float) -> None:
        self._tell = tell
        self._gather_seconds = gather_seconds
        self._waiting: dict[Key, Denial] = {}
        self._more = 0
        self._began = 0.0
        self._entered = 0
        """Since then."""
        self._batch: TellDenials | None = None
        """Under way: it keeps its id and what is in it."""
        self._task: asyncio.Task[None] | None = None

    def add(self, denial: Denial) -> None:
        key = _key(denial)
        known = self._waiting.get(key)
        if known is not None:
            self._waiting[key] = msgspec.structs.replace(known, count=known.count + denial.count)
        elif self._room():
            self._waiting[key] = denial
        else:
            self._more += denial.count
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Tries once more to tell what is left."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        try:
            async with asyncio.timeout(LAST_SECONDS):
                while (batch := self._next()) is not None:
                    if await self._tell(batch) == "again":
                        break
                    self._batch = None
        except TimeoutError:
            pass
        if (left := self._next()) is not None:
            _dropped(left)

    def _room(self) -> bool:
        now = asyncio.get_running_loop().time()
        if now - self._began >= PER_SECONDS:
            self._began, self._entered = now, 0
        if max(self._entered, len(self._waiting)) >= BATCH - 1:
            return False
        self._entered += 1
        return True

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._gather_seconds)
            batch = self._next()
            if batch is None:
                self._task = None
                return
            await self._until_told(batch)
            self._batch = None

    def _next(self) -> TellDenials | None:
        if self._batch is None and (self._waiting or self._more):
            denials = list(self._waiting.values())
            if self._more:
                denials.append(_more(self._more))
            self._waiting, self._more = {}, 0
            self._batch = TellDenials(batch_id=new_id(), denials=denials)
        return self._batch

    async def _until_told(self, batch: TellDenials) -> None:
        pause = RETRY_FIRST
        while (outcome := await self._tell(batch)) == "again":
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_LONGEST)
        if outcome == "refused":
            _dropped(batch)


def _key(denial: Denial) -> Key:
    some = denial
    return (some.upstream, some.method, some.host, some.port, some.path, some.rule)


def _more(count: int) -> Denial:
    return Denial(upstream="", method="", rule=MORE, count=count, at=wall_time())


def _dropped(batch: TellDenials) -> None:
    count = sum(denial.count for denial in batch.denials)
    _log.warning("denials_not_told", count=count, batch=batch.batch_id)
