"""When a run is saved on its way: what a lost worker's successor begins with."""

import asyncio
from pathlib import Path

import pytest

from chassis.failpoints import arm
from contracts.snapshots import SnapshotKind
from contracts.spool import SnapshotCommitted
from tests.executor.agents.driven import state_of
from tests.executor.outside import Outside
from tests.executor.running import DEADLINE, Running, running
from tests.fixtures.processes import met

STEPS = ({"shell": "echo $PPID > pid"}, {"text": "word " * 40, "delay": 0.01})


class Reading:
    """The first save, held in the middle: something was read, and its reading is not over."""

    def __init__(self) -> None:
        self._reached = asyncio.Event()
        self._on = asyncio.Event()
        arm("save.after_batch", self._hold)

    async def _hold(self) -> None:
        if not self._reached.is_set():
            self._reached.set()
            await self._on.wait()

    async def agent(self, executor: Running) -> int:
        """The agent's pid, when the checkpoint stands still."""
        async with asyncio.timeout(DEADLINE):
            await self._reached.wait()
        return int((executor.place / "workspace" / "pid").read_text())

    def go_on(self) -> None:
        self._on.set()


async def test_checkpoint__the_agent_stands_still_while_its_files_are_read(
    place: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.services.holding.HOLD_SECONDS", 3600.0)
    reading = Reading()
    async with running(place, outside, checkpoint_interval_seconds=0.001) as executor:
        await executor.start(*STEPS)
        agent = await reading.agent(executor)
        # it was told to, and does so when it has its turn
        await met(lambda: state_of(agent) == "T", "it stands still")
        reading.go_on()
        assert (await executor.finish()).state == "succeeded"


async def test_checkpoint__of_a_large_tree_does_not_hold_the_agent_up(
    place: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.services.holding.HOLD_SECONDS", 0.2)
    reading = Reading()
    async with running(place, outside, checkpoint_interval_seconds=0.001) as executor:
        await executor.start(*STEPS)
        agent = await reading.agent(executor)
        async with asyncio.timeout(DEADLINE):
            while state_of(agent) == "T":  # noqa: ASYNC110 - the kernel's
                await asyncio.sleep(0.01)
        reading.go_on()
        assert (await executor.finish()).state == "succeeded"


async def test_checkpoint__a_cancel_does_not_wait_for_it(
    place: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.services.holding.HOLD_SECONDS", 3600.0)
    reading = Reading()
    async with running(place, outside, checkpoint_interval_seconds=0.001) as executor:
        spec = await executor.start(*STEPS, {"hang": True}, cancel_grace_seconds=3600.0)
        await reading.agent(executor)
        await executor.cancel(spec)
        assert (await executor.finish()).state == "canceled"


async def test_checkpoint__of_a_tool_that_ended_too_soon_comes_when_it_is_due(
    place: Path, outside: Outside
) -> None:
    async with running(place, outside, checkpoint_interval_seconds=1.0) as executor:
        await executor.start({"write": {"path": "early", "content": "1"}}, {"hang": True})
        checkpoint = await executor.entry(SnapshotCommitted)
    assert checkpoint.snapshot.type is SnapshotKind.CHECKPOINT
    kinds = [event["kind"] for event in outside.events()]
    assert "tool.result" in kinds
    assert "message.stop" not in kinds


async def test_checkpoint__asked_for_while_another_is_saved_comes_after_it(
    place: Path, outside: Outside
) -> None:
    read, told = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        read.set()
        await told.wait()

    arm("save.before_commit", hold)
    late = "until test -e go; do sleep 0.01; done; echo late > late"
    steps = ({"write": {"path": "early", "content": "1"}}, {"shell": late}, {"hang": True})
    async with running(place, outside, checkpoint_interval_seconds=0.001) as executor:
        await executor.start(*steps)
        async with asyncio.timeout(DEADLINE):
            await read.wait()
        (place / "workspace" / "go").touch()
        await outside.until(lambda: len(outside.events("tool.result")) == 2)
        told.set()
        await outside.until(lambda: len(outside.of(SnapshotCommitted)) == 2)
    first, second = outside.of(SnapshotCommitted)
    assert second.snapshot.type is SnapshotKind.CHECKPOINT
    assert second.snapshot.files == first.snapshot.files + 2
