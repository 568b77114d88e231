"""Threads when nothing may be started any more: an agent has used up the container's processes."""

import asyncio
import threading
from pathlib import Path

import pytest

from contracts.executors import ExecutorPhase
from executor.threads import AGENT_THREADS, OWN_THREADS, AgentThreads, in_thread, own_threads
from tests.executor.outside import Outside
from tests.executor.running import process


def refuse(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


async def test_threads__are_all_there_when_none_can_be_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agents = AgentThreads(None)
    asyncio.get_running_loop().set_default_executor(own_threads())
    agents.fill()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    own, theirs = threading.Barrier(OWN_THREADS), threading.Barrier(AGENT_THREADS)
    await asyncio.gather(
        *(in_thread(own.wait, 30) for _ in range(OWN_THREADS)),
        *(agents.run(theirs.wait, 30) for _ in range(AGENT_THREADS)),
    )


async def test_cancelled__again_it_still_waits_for_its_thread() -> None:
    """A group of tasks within a task that is cancelled: what they use is closed after them."""
    begun, go = threading.Event(), threading.Event()
    over: list[bool] = []

    def working() -> None:
        begun.set()
        over.append(go.wait(30))
        raise OSError("of a thread whose caller is gone")

    task = asyncio.create_task(AgentThreads(None).run(working))
    await asyncio.to_thread(begun.wait, 30)
    for _ in range(3):
        task.cancel()
        # a turn of the loop for it to be told, and one for it to be done
        await asyncio.wait({task}, timeout=0.01)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert over == [True]


async def test_executor__has_made_them_when_it_is_ready(place: Path, outside: Outside) -> None:
    async with process(place, outside) as executor:
        await executor.phase(ExecutorPhase.READY)
        # the main one besides
        assert threads_of(executor.process.pid) == 1 + OWN_THREADS + AGENT_THREADS


def threads_of(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("Threads:")[2].split()[0])
