"""Blocking work in threads, seen through to its end.

Two kinds of threads, never mixed: `in_thread` has the executor's own identity, for the spool and
for what touches no file; `AgentThreads` have the agent's, for every access to its workspace and its
HOME. A call in the wrong kind is refused by the file system wherever the two differ.

All are made before there is an agent: one that uses up its container's processes uses up the
threads too, and must neither stop the spool nor outlive its end for want of one.
"""

import asyncio
import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.thread import BrokenThreadPool
from typing import ParamSpec, TypeVar

from executor.identity import Identity

P = ParamSpec("P")
T = TypeVar("T")

AGENT_THREADS = 8
OWN_THREADS = 6
FILL_SECONDS = 10.0


def own_threads() -> ThreadPoolExecutor:
    """What `in_thread` uses, as the event loop's default; all of them are there."""
    pool = ThreadPoolExecutor(OWN_THREADS, "own")
    _fill(pool, OWN_THREADS)
    return pool


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

    def fill(self) -> None:
        """All of them are there; whether their identity was refused the first `run` tells."""
        with contextlib.suppress(BrokenThreadPool):
            _fill(self._pool, AGENT_THREADS)

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
        while not running.done():
            # whoever gave up may be told so again: a task within a task that is cancelled
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({running})
        if not running.cancelled():
            # nobody is left who would hear of its failure
            running.exception()
        raise


def _fill(pool: ThreadPoolExecutor, count: int) -> None:
    """A pool makes a thread for work that finds none idle: so none is until they are complete."""
    complete = threading.Barrier(count)
    for _ in range(count):
        pool.submit(complete.wait, FILL_SECONDS)
