"""Blocking work that does not come back, and what waits behind it."""

import asyncio
import threading

import pytest

from executor_manager.containers.errors import Timeout
from executor_manager.containers.threads import Threads


async def test_call__given_up_before_it_had_a_thread_is_never_done() -> None:
    threads = Threads("test", 1)
    held, done = threading.Event(), threading.Event()
    holding = asyncio.create_task(threads.call(held.wait, 10))
    await asyncio.sleep(0)  # it has the thread
    with pytest.raises(Timeout):
        await threads.call(done.set, 0.05)
    held.set()
    assert await holding
    await threads.call(lambda: None, 10)  # behind whatever was left in the queue
    assert not done.is_set()
    threads.close()


async def test_call__cancelled_before_it_had_a_thread_is_never_done() -> None:
    """A graver duty has taken over: what the former one asked for must not come after it."""
    threads = Threads("test", 1)
    held, done = threading.Event(), threading.Event()
    holding = asyncio.create_task(threads.call(held.wait, 10))
    waiting = asyncio.create_task(threads.call(done.set, 10))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    held.set()
    assert await holding
    await threads.call(lambda: None, 10)
    assert not done.is_set()
    threads.close()


async def test_call__that_is_to_be_sure_is_done_though_nobody_waits() -> None:
    threads = Threads("test", 1)
    held, done = threading.Event(), threading.Event()
    holding = asyncio.create_task(threads.call(held.wait, 10))
    await asyncio.sleep(0)
    with pytest.raises(Timeout):
        await threads.call(done.set, 0.05, sure=True)
    held.set()
    assert await holding
    await threads.call(lambda: None, 10)
    assert done.is_set()
    threads.close()


async def test_later__after_its_end_is_nothing() -> None:
    threads = Threads("test", 1)
    threads.close()
    done = threading.Event()
    threads.later(done.set)
    assert not done.is_set()
