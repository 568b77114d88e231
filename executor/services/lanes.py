"""Blocking steps in the agent's threads for people: few at once, none waited for ever."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from chassis.errors import BerthError
from contracts.errors import Code
from executor.workspace.tree import Tree

P = ParamSpec("P")
T = TypeVar("T")

LANES = 3
"""Of the agent's threads."""
LANE_SECONDS = 20.0
"""Until one is free."""
STEP_SECONDS = 45.0
"""For one step; more than what a step allows itself."""


class Lanes:
    """A lane is taken until its step has ended, whoever waits for it."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._free = asyncio.Semaphore(LANES)

    async def run(
        self, function: Callable[Concatenate[Path, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """`function(root, …)`. Raises `upstream_timeout`."""
        await self._take()
        return await self._waited(asyncio.ensure_future(self._tree.run(function, *args, **kwargs)))

    async def open(
        self,
        function: Callable[Concatenate[Path, P], T],
        discard: Callable[[T], object],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """The same for what must be closed: by `discard`, in a thread, if nobody takes it."""
        await self._take()
        running = asyncio.ensure_future(self._tree.run(function, *args, **kwargs))
        try:
            return await self._waited(running)
        except (BerthError, asyncio.CancelledError):
            running.add_done_callback(partial(self._discard, discard))
            raise

    async def step(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same of something that has its own handles."""
        await self._take()
        return await self._waited(self._tree.threads.begin(function, *args, **kwargs))

    def close(self, function: Callable[[], object]) -> None:
        """In a thread, when there is one; nobody waits for it."""
        self._tree.threads.begin(function)

    async def _take(self) -> None:
        try:
            async with asyncio.timeout(LANE_SECONDS):
                await self._free.acquire()
        except TimeoutError as error:
            detail = "the workspace is busy with other requests"
            raise BerthError(Code.UPSTREAM_TIMEOUT, detail, retry_after=1) from error

    async def _waited(self, running: "asyncio.Future[T]") -> T:
        running.add_done_callback(self._over)
        done, _ = await asyncio.wait({running}, timeout=STEP_SECONDS)
        if not done:
            detail = "the workspace's disk did not answer in time"
            raise BerthError(Code.UPSTREAM_TIMEOUT, detail)
        return running.result()

    def _over(self, running: "asyncio.Future[Any]") -> None:
        self._free.release()
        if not running.cancelled():
            running.exception()  # whoever waited has met it

    def _discard(self, discard: Callable[[T], object], running: "asyncio.Future[T]") -> None:
        if not running.cancelled() and running.exception() is None:
            self.close(partial(discard, running.result()))
