"""Floods, pastes and viewers that take nothing (G07): all of it stays bounded."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts.executors import ExecutorPhase
from contracts.terminals import MESSAGE_BYTES, Attached, InputDropped, Skipped
from tests.executor.outside import Outside
from tests.executor.running import Running, running
from tests.executor.seeing import MIB, See, executor, named, see
from tests.fixtures.processes import met

__all__ = ["executor", "see"]


async def test_flood__is_held_up_by_the_only_viewer(
    executor: Running, see: See, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.terminals.viewer.SEND_SECONDS", 3600.0)
    async with see() as viewer:
        await viewer.is_told(Attached)
        viewer.hold()
        await viewer.enter("yes | head -c 12000000; echo fin''ished\r")
        held_at = await at_rest(lambda: io_of("yes"))
        assert held_at < 6 * MIB
        assert (await executor.status()).phase is ExecutorPhase.READY
        viewer.go_on()
        await viewer.sees("finished", 60)
        assert viewer.count > 12_000_000
        assert not any(isinstance(one, Skipped) for one in viewer.told)


def io_of(name: str) -> int:
    """What the processes of this name have written."""
    written = 0
    for pid in named(name):
        for line in Path(f"/proc/{pid}/io").read_text().splitlines():
            if line.startswith("wchar:"):
                written += int(line.split()[1])
    return written


async def at_rest(value: Callable[[], int], deadline: float = 60.0) -> int:
    """Once it no longer changes; nothing tells that."""
    async with asyncio.timeout(deadline):
        last = 0
        while not (now := value()) or now != last:
            last = now
            await asyncio.sleep(0.5)
    return last


async def test_slow_viewer__holds_up_nobody_and_is_told_what_it_missed(
    place: Path, outside: Outside, see: See, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.terminals.viewer.SEND_SECONDS", 3600.0)
    async with (
        running(place, outside, terminal_scrollback_bytes=100_000),
        see() as fast,
        see("read") as slow,
    ):
        await slow.is_told(Attached)
        slow.hold()
        await fast.enter("yes | head -c 5000000; echo fin''ished\r")
        await fast.sees("finished", 60)
        assert not any(isinstance(one, Skipped) for one in fast.told)
        slow.go_on()
        assert (await slow.is_told(Skipped)).bytes > 0
        await slow.sees("finished")


async def test_viewer_that_takes_nothing__is_given_up(
    executor: Running, see: See, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.terminals.viewer.SEND_SECONDS", 0.5)
    async with see() as viewer:
        await viewer.is_told(Attached)
        viewer.hold()
        await viewer.enter("yes | head -c 8000000 > /dev/tty; touch fin''ished\r")
        finished = executor.place / "workspace" / "finished"
        await met(finished.exists, "it goes on without its viewer", 30)


async def test_flood__leaves_the_executor_its_time(
    executor: Running, see: See, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a tick that does not end, it takes its share and no more."""
    monkeypatch.setattr("executor.terminals.terminal.TICK_SECONDS", 3600.0)
    async with see() as viewer:
        await viewer.enter("yes $'\\e[1;31mx\\e]0;y\\a\\e[0m'\r")
        await viewer.sees("x")
    assert await at_rest(lambda: io_of("yes")) < 2 * MIB
    assert (await executor.status()).phase is ExecutorPhase.READY


async def test_paste__of_100_mb_is_taken_at_the_programs_pace(
    executor: Running, see: See, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.terminals.typed.STALL_SECONDS", 3600.0)
    size = 100 * MIB
    async with see() as viewer:
        await viewer.enter(
            f"stty raw -echo; echo rea''dy; head -c {size} | wc -c > count;"
            " stty sane; echo do''ne\r"
        )
        await viewer.sees("ready")
        piece = b"p" * MESSAGE_BYTES
        for _ in range(size // len(piece)):
            await viewer.enter(piece)
        await viewer.sees("done", 120)
        assert not any(isinstance(one, InputDropped) for one in viewer.told)
    assert int((place / "workspace" / "count").read_text()) == size


async def test_paste__that_nobody_reads_is_dropped_and_told(
    executor: Running, see: See, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.terminals.typed.STALL_SECONDS", 0.5)
    async with see() as viewer:
        await viewer.enter(
            "stty raw -echo; echo rea''dy; until test -e go; do sleep 0.05; done;"
            " stty sane; echo aw''ake\r"
        )
        await viewer.sees("ready")
        for _ in range(100):
            await viewer.enter(b"x" * MESSAGE_BYTES)
        assert (await viewer.is_told(InputDropped)).bytes > 0
        (executor.place / "workspace" / "go").touch()
        await viewer.sees("awake")
        await viewer.enter("\x15\r\recho he''re\r")
        await viewer.sees("here")
