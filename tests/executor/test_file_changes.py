"""People change files beside whatever the agent does: whole or not at all, never through a link."""

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from chassis.clock import SystemClock
from chassis.errors import BerthError, NotFound, Stale
from chassis.files.sensitive import NOTHING, Sensitive
from contracts.errors import Code
from contracts.executors import ExecutorPhase
from executor.files import moving
from executor.files.opening import STAGED
from executor.files.writing import NewFile
from executor.services.changes import Changes
from executor.services.files import WorkspaceFiles
from executor.status import Status
from executor.workspace.scan import STAGING_PREFIX
from tests.executor.changing import Touches, changes_at, files_at, sent
from tests.fixtures.deadlines import eventually

SECRETS = Sensitive([".env", "*.key"])


@pytest.fixture
def status() -> Status:
    status = Status(SystemClock())
    status.enter(ExecutorPhase.READY)
    return status


@pytest.fixture
def touches() -> Touches:
    return Touches()


@pytest.fixture
def changes(status: Status, touches: Touches) -> Changes:
    return changes_at(status, touches)


@pytest.fixture
def top(place: Path) -> Path:
    return place / "workspace"


@pytest.fixture
def files(top: Path, status: Status, changes: Changes) -> WorkspaceFiles:
    return files_at(top, status, changes)


def names(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


async def swept(top: Path) -> None:
    """What was written aside goes in a thread that nobody waits for."""

    async def gone() -> bool:
        return not any(STAGED.decode() in name for name in names(top))

    await eventually(gone, "nothing is left aside")


def test_staged__is_what_no_save_reads() -> None:
    assert STAGED.startswith(STAGING_PREFIX)


async def test_write__a_new_file_then_over_it(
    top: Path, files: WorkspaceFiles, touches: Touches
) -> None:
    made = await files.write(b"a/b/one.txt", sent(b"one ", b"file"), withheld=NOTHING)
    assert (made.created, made.entry.size, made.entry.path) == (True, 8, "a/b/one.txt")
    (top / "a/b/one.txt").chmod(0o755)
    again = await files.write(b"a/b/one.txt", sent(b"two"), withheld=NOTHING)
    assert not again.created
    assert (top / "a/b/one.txt").read_bytes() == b"two"
    assert (top / "a/b/one.txt").stat().st_mode & 0o777 == 0o755
    assert touches.count == 2
    await swept(top)


async def test_write__of_two_with_the_same_etag_one_wins(
    top: Path, files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both would come to the last step at once, if they could."""
    both_there, place = threading.Barrier(2), NewFile._place

    def together(new: NewFile, *where: Any) -> None:
        with contextlib.suppress(threading.BrokenBarrierError):
            both_there.wait(0.5)
        place(new, *where)

    monkeypatch.setattr(NewFile, "_place", together)
    (top / "f").write_bytes(b"first")
    opened = await files.read(b"f", withheld=NOTHING)
    assert opened.chunks is not None
    await opened.chunks.aclose()
    both = await asyncio.gather(
        files.write(b"f", sent(b"mine"), match=opened.etag, withheld=NOTHING),
        files.write(b"f", sent(b"theirs"), match=opened.etag, withheld=NOTHING),
        return_exceptions=True,
    )
    (refused,) = [one for one in both if isinstance(one, BaseException)]
    assert isinstance(refused, BerthError)
    assert refused.code == Code.VERSION_CONFLICT
    assert (top / "f").read_bytes() in {b"mine", b"theirs"}


async def test_write__of_the_first_two_is_swept_before_once(
    files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier executor left goes; what the other one is writing does not."""
    swept, sweep = 0, moving.sweep

    def counted(root: Path) -> None:
        nonlocal swept
        swept += 1
        sweep(root)

    monkeypatch.setattr(moving, "sweep", counted)
    await asyncio.gather(
        files.write(b"one", sent(b"1"), withheld=NOTHING),
        files.write(b"two", sent(b"2"), withheld=NOTHING),
    )
    assert swept == 1


async def test_write__waits_for_a_sweep_that_nobody_waits_for_any_more(
    files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thread goes on, and would take what is begun meanwhile."""
    begun, goes_on, swept, sweep = threading.Event(), threading.Event(), 0, moving.sweep

    def slow(root: Path) -> None:
        nonlocal swept
        swept += 1
        begun.set()
        assert swept > 1 or goes_on.wait(30)
        sweep(root)

    monkeypatch.setattr(moving, "sweep", slow)
    first = asyncio.create_task(files.write(b"one", sent(b"1"), withheld=NOTHING))
    assert await asyncio.to_thread(begun.wait, 30)
    first.cancel()
    await asyncio.wait({first})
    second = asyncio.create_task(files.write(b"two", sent(b"2"), withheld=NOTHING))
    done, _ = await asyncio.wait({second}, timeout=0.5)
    goes_on.set()
    await second
    assert (done, swept) == (set(), 1)


async def test_write__only_new_replaces_nothing_that_came_meanwhile(
    top: Path, files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the last look, before the last step."""
    place = NewFile._place

    def late(new: NewFile, *where: Any) -> None:
        (top / "f").write_bytes(b"the agent's")
        place(new, *where)

    monkeypatch.setattr(NewFile, "_place", late)
    with pytest.raises(Stale) as refused:
        await files.write(b"f", sent(b"ours"), none_match="*", withheld=NOTHING)
    assert refused.value.code == Code.VERSION_CONFLICT
    assert (top / "f").read_bytes() == b"the agent's"
    await swept(top)


async def test_write__what_ends_too_early_changes_nothing(top: Path, files: WorkspaceFiles) -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield b"half"
        raise BerthError(Code.VALIDATION, "the body ended before its end")

    (top / "f").write_bytes(b"whole")
    with pytest.raises(BerthError, match="before its end"):
        await files.write(b"f", cut(), withheld=NOTHING)
    assert (top / "f").read_bytes() == b"whole"
    await swept(top)
    assert names(top) == ["f"]


@pytest.mark.parametrize("path", [b"link", b"way/x", b"directory", b"fifo", b"file/x"])
async def test_write__never_through_what_is_no_plain_file(
    top: Path, place: Path, files: WorkspaceFiles, path: bytes
) -> None:
    outside = place / "home" / "outside"
    outside.mkdir()
    (outside / "x").write_text("theirs")
    (top / "link").symlink_to(outside / "x")
    (top / "way").symlink_to(outside)
    (top / "directory").mkdir()
    (top / "file").touch()
    os.mkfifo(top / "fifo")
    with pytest.raises(BerthError) as refused:
        await files.write(path, sent(b"ours"), withheld=NOTHING)
    assert refused.value.code == Code.VALIDATION
    assert [one.read_text() for one in outside.iterdir()] == ["theirs"]
    await swept(top)


async def test_write__a_directory_that_becomes_a_link_meanwhile(
    top: Path, place: Path, files: WorkspaceFiles
) -> None:
    outside = place / "home" / "outside"
    outside.mkdir()
    (top / "d").mkdir()

    async def swapping() -> AsyncIterator[bytes]:
        yield b"ours"
        (top / "d").rmdir()
        (top / "d").symlink_to(outside)

    with pytest.raises(BerthError) as refused:
        await files.write(b"d/f", swapping(), withheld=NOTHING)
    assert refused.value.details["field"] == "path"
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize(
    "path", [b"", b"/a", b"a/../b", b"..", b"a//b", b"a\0b", b"x" * 256, b".berth-restore-x"]
)
async def test_paths__that_are_none_name_their_field(files: WorkspaceFiles, path: bytes) -> None:
    for change in (
        files.write(path, sent(b""), withheld=NOTHING),
        files.delete(path, recursive=True, match="", withheld=NOTHING),
        files.make_directory(path, parents=True, withheld=NOTHING),
        files.rename(path, b"b", overwrite=True, withheld=NOTHING),
        files.rename(b"b", path, overwrite=True, withheld=NOTHING),
    ):
        with pytest.raises(BerthError) as refused:
            await change
        assert refused.value.code == Code.VALIDATION
        assert refused.value.details["field"] in {"path", "from", "to"}


async def test_rename__replaces_only_when_asked(top: Path, files: WorkspaceFiles) -> None:
    (top / "a").write_text("a")
    (top / "b").write_text("b")
    with pytest.raises(Stale, match="already"):
        await files.rename(b"a", b"b", overwrite=False, withheld=NOTHING)
    moved = await files.rename(b"a", b"b", overwrite=True, withheld=NOTHING)
    assert (moved.path, (top / "b").read_text(), (top / "a").exists()) == ("b", "a", False)
    with pytest.raises(NotFound):
        await files.rename(b"a", b"c", overwrite=False, withheld=NOTHING)
    with pytest.raises(BerthError, match="not within"):
        await files.rename(b"b", b"b/c", overwrite=False, withheld=NOTHING)


async def test_rename__without_the_kernels_help_still_replaces_nothing(
    top: Path, files: WorkspaceFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "_libc", object())
    (top / "a").write_text("a")
    (top / "b").write_text("b")
    with pytest.raises(Stale, match="already"):
        await files.rename(b"a", b"b", overwrite=False, withheld=NOTHING)
    await files.rename(b"a", b"c", overwrite=False, withheld=NOTHING)
    assert names(top) == ["b", "c"]


async def test_make_directory__once_or_with_those_above(top: Path, files: WorkspaceFiles) -> None:
    with pytest.raises(NotFound):
        await files.make_directory(b"a/b", parents=False, withheld=NOTHING)
    await files.make_directory(b"a/b", parents=True, withheld=NOTHING)
    await files.make_directory(b"a/b", parents=True, withheld=NOTHING)
    with pytest.raises(Stale, match="already"):
        await files.make_directory(b"a/b", parents=False, withheld=NOTHING)
    assert names(top) == ["a", "a/b"]


async def test_delete__trees_only_when_asked_links_never_followed(
    top: Path, place: Path, files: WorkspaceFiles
) -> None:
    outside = place / "home" / "kept"
    outside.mkdir()
    (outside / "x").touch()
    (top / "tree/deep").mkdir(parents=True)
    (top / "tree/link").symlink_to(outside)
    (top / "tree/deep/f").touch()
    with pytest.raises(Stale, match="recursive=1"):
        await files.delete(b"tree", recursive=False, match="", withheld=NOTHING)
    await files.delete(b"tree", recursive=True, match="", withheld=NOTHING)
    assert names(top) == []
    assert (outside / "x").exists()
    (top / "link").symlink_to(outside)
    await files.delete(b"link", recursive=True, match="", withheld=NOTHING)
    assert (outside / "x").exists()


async def test_delete__only_what_was_seen(top: Path, files: WorkspaceFiles) -> None:
    (top / "f").write_text("1")
    opened = await files.read(b"f", withheld=NOTHING)
    assert opened.chunks is not None
    await opened.chunks.aclose()
    (top / "f").write_text("22")
    with pytest.raises(Stale) as refused:
        await files.delete(b"f", recursive=False, match=opened.etag, withheld=NOTHING)
    assert refused.value.details["etag"] != opened.etag


@pytest.mark.parametrize("path", [b".env", b"a/.ENV", b"my.key", b".env/inside"])
async def test_sensitive_names__are_refused_by_their_pattern(
    top: Path, files: WorkspaceFiles, path: bytes
) -> None:
    (top / "plain").touch()
    for call in (
        files.read(path, withheld=SECRETS),
        files.write(path, sent(b""), withheld=SECRETS),
        files.delete(path, recursive=False, match="", withheld=SECRETS),
        files.rename(b"plain", path, overwrite=False, withheld=SECRETS),
        files.rename(path, b"other", overwrite=False, withheld=SECRETS),
    ):
        with pytest.raises(BerthError) as refused:
            await call
        assert refused.value.code == Code.SENSITIVE_PATH
        assert refused.value.details["pattern"] in SECRETS.patterns


async def test_sensitive_names__keep_the_tree_that_they_are_in(
    top: Path, files: WorkspaceFiles
) -> None:
    (top / "d").mkdir()
    (top / "d/.env").touch()
    with pytest.raises(BerthError) as refused:
        await files.delete(b"d", recursive=True, match="", withheld=SECRETS)
    assert refused.value.code == Code.SENSITIVE_PATH
    assert names(top) == ["d", "d/.env"]


async def test_stop__ends_what_is_being_written_and_refuses_the_next(
    top: Path, files: WorkspaceFiles, changes: Changes, status: Status
) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        begun.set()
        while True:
            yield b"x"

    writing = asyncio.create_task(files.write(b"f", endless(), withheld=NOTHING))
    await begun.wait()
    assert status.idle_seconds == 0.0
    await changes.close("the worker stops")
    with pytest.raises(Stale) as refused:
        await writing
    assert refused.value.code == Code.WORKER_NOT_RUNNING
    with pytest.raises(Stale, match="stops"):
        await files.write(b"f", sent(b""), withheld=NOTHING)
    await swept(top)
    assert names(top) == []
    changes.reopen()
    await files.write(b"f", sent(b""), withheld=NOTHING)


@pytest.mark.parametrize("phase", [ExecutorPhase.RESTORING, ExecutorPhase.STOPPED])
async def test_changes__only_while_a_save_will_follow(
    files: WorkspaceFiles, status: Status, phase: ExecutorPhase
) -> None:
    status.enter(phase)
    with pytest.raises(Stale, match=phase.value):
        await files.write(b"f", sent(b""), withheld=NOTHING)


async def test_sweep__what_an_executor_left_that_died(top: Path, files: WorkspaceFiles) -> None:
    left = top / (STAGED.decode() + "0")
    left.mkdir(mode=0o500)
    await files.write(b"f", sent(b""), withheld=NOTHING)
    await swept(top)
    assert names(top) == ["f"]
