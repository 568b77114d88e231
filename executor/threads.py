"""Blocking work in threads, seen through to its end.

Two kinds of threads, never mixed: `in_thread` has the executor's own identity, for the spool and
for what touches no file; `AgentThreads` have the agent's, for every access to its workspace and its
HOME. A call in the wrong kind is refused by the file system wherever the two differ.
"""

import asyncio
import contextvars
import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from executor.identity import Identity

P = ParamSpec("P")
T = TypeVar("T")

AGENT_THREADS = 8


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Like `asyncio.to_thread`, but a cancelled caller waits until the thread is done.

    A thread cannot be cancelled: it would go on with handles and locks that its caller gave up.
    """
    return await _seen_through(
        asyncio.ensure_future(asyncio.to_thread(function, *args, **kwargs)),
    )


class AgentThreads:
    """With `identity` None they are threads like any other."""

    def __init__(self, identity: Identity | None) -> None:
        self.identity = identity
        if identity is not None:
            # of the whole process, before there is a thread: no group of root's opens anything
            os.setgroups([])
        # a thread whose identity is refused breaks the pool: nothing is done with the wrong one
        self._pool = ThreadPoolExecutor(
            AGENT_THREADS, "agent", initializer=identity.take_on_files if identity else None
        )

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """A cancelled caller waits until the thread is done."""
        return await _seen_through(self.begin(function, *args, **kwargs))

    def begin(
        self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        """For who may not wait for it: what it uses is its own until it is done."""
        context = contextvars.copy_context()
        call = functools.partial(context.run, function, *args, **kwargs)
        return asyncio.get_running_loop().run_in_executor(self._pool, call)


async def _seen_through(running: asyncio.Future[T]) -> T:
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise
