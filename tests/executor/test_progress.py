"""What takes its time is told while it does, and nothing else."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from contracts.worker_events import WorkspaceProgress
from executor.reporter import Reporter
from executor.services.progress import reported
from executor.workspace.progress import Progress
from executor.workspace.saving import save
from tests.executor.kept import Kept
from tests.executor.snapshots import ACKNOWLEDGED, disk_at, tree_at


class Told:
    """Notes what is reported."""

    def __init__(self) -> None:
        self.events: list[WorkspaceProgress] = []
        self.one = asyncio.Event()

    async def event(self, event: WorkspaceProgress) -> None:
        self.events.append(event)
        self.one.set()


class Seconds:
    """A clock whose seconds pass when they are let."""

    def __init__(self) -> None:
        self._passed = asyncio.Semaphore(0)
        self.asked: list[float] = []

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.asked.append(seconds)
        await self._passed.acquire()

    def pass_one(self) -> None:
        self._passed.release()


async def test_reported__once_a_second_with_totals_and_rate() -> None:
    told, seconds = Told(), Seconds()
    progress = Progress("restore")
    progress.expect(files=10, size=1000)
    async with asyncio.timeout(30), reported(progress, cast("Reporter", told), seconds):
        progress.add(250)
        for _ in range(2):
            seconds.pass_one()
            await told.one.wait()
            told.one.clear()
    assert len(told.events) == 2
    event = told.events[-1]
    assert (event.phase, event.files, event.bytes) == ("restore", 1, 250)
    assert (event.total_files, event.total_bytes) == (10, 1000)
    assert event.bytes_per_second > 0
    assert event.eta_seconds is not None
    assert set(seconds.asked) == {1.0}


async def test_reported__not_of_what_is_over_within_a_second() -> None:
    told = Told()
    async with reported(Progress("save"), cast("Reporter", told), Seconds()):
        await asyncio.sleep(0)
    assert told.events == []


@pytest.mark.parametrize(("files", "size"), [(0, 0), (5, 0), (0, 500)])
def test_eta__is_not_guessed_before_anything_is_known(files: int, size: int) -> None:
    progress = Progress("restore")
    progress.expect(files=10, size=1000)
    progress.files, progress.bytes = files, size
    assert progress.eta_seconds is None
    assert Progress("save").eta_seconds is None


async def test_save__expects_what_there_was_the_last_time(tmp_path: Path) -> None:
    disk, store = disk_at(tmp_path), Kept()
    disk.root.mkdir()
    (disk.root / "file").write_bytes(b"x" * 1000)
    first, second = Progress("save"), Progress("save")
    await save(tree_at(disk.root), store, disk.index, ACKNOWLEDGED, progress=first)
    disk.index.keep()
    assert (first.total_bytes, first.bytes) == (None, 1000)
    (disk.root / "more").write_bytes(b"y" * 10)
    await save(tree_at(disk.root), store, disk.index, ACKNOWLEDGED, progress=second)
    assert (second.total_bytes, second.bytes, second.expected_bytes) == (1000, 1010, 1010)
    assert second.eta_seconds == 0
