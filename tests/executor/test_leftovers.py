"""Processes of a killed predecessor's agent are ended, and nobody else's."""

import asyncio
import sys
from pathlib import Path

from executor.agents.keeper import MARK
from executor.services.leftovers import end_leftovers
from tests.executor.agents.driven import state_of
from tests.fixtures.deadlines import eventually


async def sleeper(home: Path, *, marked: bool) -> asyncio.subprocess.Process:
    """Ignores SIGTERM, as a stubborn agent does."""
    env = {"HOME": str(home), **({MARK: "some"} if marked else {})}
    process = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done", env=env, stdout=-1
    )
    assert process.stdout
    await process.stdout.readline()
    return process


async def test_end_leftovers__only_this_sessions_agents(place: Path) -> None:
    agent = await sleeper(place / "home", marked=True)
    others = [
        await sleeper(place / "home", marked=False),
        await sleeper(place / "other", marked=True),
    ]
    await asyncio.to_thread(end_leftovers, place / "home", None)
    assert await asyncio.wait_for(agent.wait(), 30) == -9
    assert [other.returncode for other in others] == [None, None]
    for other in others:
        other.kill()
        await other.wait()


LEADERLESS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print("up", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


async def test_end_leftovers__whose_first_thread_has_ended(place: Path) -> None:
    """It looks like a zombie, and still writes."""
    env = {"HOME": str(place / "home"), MARK: "some"}
    agent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LEADERLESS, env=env, stdout=-1
    )
    assert agent.stdout

    async def is_leaderless() -> bool:
        return state_of(agent.pid) == "Z"

    await agent.stdout.readline()
    await eventually(is_leaderless, "its first thread ends")
    try:
        await asyncio.to_thread(end_leftovers, place / "home", None)
        assert await asyncio.wait_for(agent.wait(), 30) == -9
    finally:
        if agent.returncode is None:
            agent.kill()
            await agent.wait()
