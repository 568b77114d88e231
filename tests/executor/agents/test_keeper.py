"""An executor that is killed takes its agent's whole tree along."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from executor.agents import keeper
from executor.agents.process import BoundedFile
from tests.executor.agents.driven import DEADLINE, read_fifo, wait_gone

EXECUTOR = """
import subprocess, sys
subprocess.Popen(sys.argv[1:]).wait()
"""


@pytest.mark.parametrize("command", ["", "trap '' TERM; "])
async def test_keeper__ends_with_its_parent(tmp_path: Path, command: str) -> None:
    os.mkfifo(tmp_path / "pids")
    daemon = "(setsid sh -c 'trap \"\" TERM; sleep 300 & echo $$ $! > pids; wait' &)"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", EXECUTOR,
        sys.executable, "-I", "-S", keeper.__file__, "0.2", str(tmp_path), "--",
        "sh", "-c", f"{command}{daemon}; sleep 300",
    )  # fmt: skip
    told = await asyncio.to_thread(read_fifo, tmp_path / "pids")
    process.send_signal(signal.SIGKILL)
    await process.wait()
    for pid in map(int, told.split()):
        assert await asyncio.to_thread(wait_gone, pid)


@pytest.mark.parametrize(
    ("command", "code"), [("exit 7", 7), ("kill -9 $$", 137), ("sleep 300 & exit 0", 0)]
)
async def test_keeper__has_the_agents_exit_code(command: str, code: int) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", keeper.__file__, "5", "/", "--", "sh", "-c", command,
    )  # fmt: skip
    async with asyncio.timeout(DEADLINE):
        assert await process.wait() == code


CHAIN = """
import os, time
ends = time.monotonic() + 60
while time.monotonic() < ends:
    if os.fork():
        os._exit(0)
"""
"""Each process only starts the next one. It ends by itself in case that the test is killed."""


async def test_keeper__ends_what_is_in_no_list() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", keeper.__file__, "0.2", "/", "--",
        sys.executable, "-I", "-S", "-c", CHAIN,
        stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    async with asyncio.timeout(DEADLINE):
        # each of them holds it
        assert await process.stderr.read() == b""
        assert await process.wait() == 0


async def test_keeper__offers_the_agent_before_itself_when_memory_is_short() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-I", "-S", keeper.__file__, "5", "/", "--",
        "sh", "-c", "cat /proc/self/oom_score_adj; cat /proc/$PPID/oom_score_adj",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(DEADLINE):
        agent, keepers = map(int, (await process.stdout.read()).split())
    assert agent > keepers


def test_bounded_file__keeps_the_last_bytes(tmp_path: Path) -> None:
    kept = BoundedFile(tmp_path / "log", limit=100)
    for number in range(100):
        kept.write(f"line {number}\n".encode())
    assert (tmp_path / "log").stat().st_size <= 100
    assert kept.tail(8) == "line 99\n"
    kept.close()
    assert kept.tail(8) == "line 99\n"
