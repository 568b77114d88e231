"""Changes to the workspace that are no run's: each acknowledged one is in a save before the worker
stops.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from chassis.errors import Stale
from contracts.errors import Code
from executor.services.saves import Saves
from executor.status import Status

T = TypeVar("T")

SAVE_SECONDS = 30.0
"""After the first change since the last save."""


class Changes:
    """`save_left` is asked for when there is something to save, now and then."""

    def __init__(self, saves: Saves, status: Status, save_left: Callable[[], None]) -> None:
        self._saves = saves
        self._status = status
        self._save_left = save_left
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = ""
        self._saving: asyncio.TimerHandle | None = None

    async def made(self, change: Coroutine[Any, Any, T]) -> T:
        """Its answer, once it is sure that a save will cover it. Raises `BerthError`."""
        if self._closed or not self._status.ready:
            change.close()
            raise self._refusal()
        running = asyncio.create_task(self._make(change))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        try:
            with self._status.in_use():
                return await running
        except asyncio.CancelledError:
            if not self._closed:
                running.cancel()
                raise
            raise self._refusal() from None

    async def close(self, reason: str) -> None:
        """None is made until `reopen`; those under way end unacknowledged."""
        self._closed = reason
        running = list(self._running)
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if self._saving is not None:
            self._saving.cancel()
            self._saving = None

    def reopen(self) -> None:
        self._closed = ""

    async def _make(self, change: Coroutine[Any, Any, T]) -> T:
        try:
            return await change
        finally:
            # what failed may have changed something too
            self._saves.touched()
            if self._saving is None and not self._closed:
                loop = asyncio.get_running_loop()
                self._saving = loop.call_later(SAVE_SECONDS, self._save)

    def _save(self) -> None:
        self._saving = None
        self._save_left()

    def _refusal(self) -> Stale:
        if self._closed:
            return Stale(Code.WORKER_NOT_RUNNING, self._closed)
        phase = self._status.phase
        detail = f"the workspace cannot be changed: the worker is {phase}"
        return Stale(Code.CONFLICT, detail, retry_after=1.0)
