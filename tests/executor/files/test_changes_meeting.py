"""Changes of files that meet each other: what was acknowledged stays."""

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chassis.clock import SystemClock
from chassis.errors import BerthError
from chassis.files.sensitive import NOTHING
from contracts.errors import Code
from contracts.executors import ExecutorPhase
from contracts.workspace_files import WrittenFile
from executor.files import moving
from executor.files.writing import Conditions, NewFile
from executor.services import sending
from executor.services.files import WorkspaceFiles
from executor.status import Status
from tests.executor.changing import files_at, sent


@pytest.fixture
def top(place: Path) -> Path:
    return place / "workspace"


@pytest.fixture
def files(top: Path) -> WorkspaceFiles:
    status = Status(SystemClock())
    status.enter(ExecutorPhase.READY)
    return files_at(top, status)


async def etag_of(files: WorkspaceFiles, path: bytes) -> str:
    opened = await files.read(path, withheld=NOTHING)
    assert opened.chunks is not None
    await opened.chunks.aclose()
    return opened.etag


async def test_delete__never_of_what_was_written_after_it_looked(
    top: Path, files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both bring the ETag that was there: the file that is written stays, or it is refused."""
    (top / "f").write_bytes(b"first")
    etag = await etag_of(files, b"f")
    looked, written = threading.Event(), threading.Event()

    class Slow(Conditions):
        def check(self, path: bytes, former: os.stat_result | None) -> None:
            super().check(path, former)
            looked.set()
            written.wait(0.5)

    monkeypatch.setattr(moving, "Conditions", Slow)
    deleting = asyncio.create_task(
        files.delete(b"f", recursive=False, match=etag, withheld=NOTHING)
    )
    await asyncio.to_thread(looked.wait, 30)
    writing = asyncio.create_task(files.write(b"f", sent(b"new"), match=etag, withheld=NOTHING))
    writing.add_done_callback(lambda _: written.set())
    _, wrote = await asyncio.gather(deleting, writing, return_exceptions=True)
    if isinstance(wrote, WrittenFile):
        assert (top / "f").read_bytes() == b"new"
    else:
        assert isinstance(wrote, BerthError)
        assert wrote.code == Code.VERSION_CONFLICT


async def test_write__that_was_given_up_in_its_last_step_replaces_no_later_one(
    top: Path, files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    (top / "f").write_bytes(b"first")
    etag = await etag_of(files, b"f")
    place, there, go = NewFile._place, threading.Event(), threading.Event()

    def held(new: NewFile, *where: Any) -> None:
        if not there.is_set():
            there.set()
            go.wait(30)
        place(new, *where)

    monkeypatch.setattr(NewFile, "_place", held)
    given_up = asyncio.create_task(files.write(b"f", sent(b"1"), match=etag, withheld=NOTHING))
    await asyncio.to_thread(there.wait, 30)
    given_up.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await given_up
    later = asyncio.create_task(files.write(b"f", sent(b"2"), match=etag, withheld=NOTHING))
    await asyncio.wait({later}, timeout=0.3)
    go.set()
    (outcome,) = await asyncio.gather(later, return_exceptions=True)
    await settled(files, lambda: not any(".berth" in one.name for one in top.iterdir()))
    if isinstance(outcome, WrittenFile):
        assert (top / "f").read_bytes() == b"2"
    else:
        assert isinstance(outcome, BerthError)
        assert (top / "f").read_bytes() == b"1"


async def settled(files: WorkspaceFiles, done: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not done():
            await files.is_directory(b"")


async def test_turn__is_not_waited_for_without_end(
    top: Path, files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.services.files.TURN_SECONDS", 0.05)
    (top / "f").touch()
    with files._turn, pytest.raises(BerthError) as refused:
        await files.rename(b"f", b"g", overwrite=False, withheld=NOTHING)
    assert refused.value.code == Code.UPSTREAM_TIMEOUT
    assert (top / "f").exists()


async def test_read__larger_than_one_answer_needs_a_range(top: Path, files: WorkspaceFiles) -> None:
    with (top / "sparse").open("wb") as file:
        file.truncate(17 * 1024**3)
    with pytest.raises(BerthError) as refused:
        await files.read(b"sparse", withheld=NOTHING)
    assert (refused.value.code, refused.value.details["field"]) == (Code.TOO_LARGE, "Range")
    opened = await files.read(b"sparse", wanted="bytes=-10", withheld=NOTHING)
    assert opened.chunks is not None
    assert b"".join([chunk async for chunk in opened.chunks]) == bytes(10)


async def test_read__has_an_end(
    top: Path, files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "TRANSFER_SECONDS", -1.0)
    (top / "f").write_bytes(b"f")
    opened = await files.read(b"f", withheld=NOTHING)
    assert opened.chunks is not None
    with pytest.raises(BerthError) as refused:
        await anext(opened.chunks)
    assert refused.value.code == Code.UPSTREAM_TIMEOUT
