"""What somebody does in the very moment in which a file is looked at, opened or read."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from executor.workspace import reading
from snapshots.model import Kind, Skipped
from tests.executor.kept import Kept
from tests.executor.snapshots import CHECKPOINT, Disk, disk_at, items_of
from tests.executor.trees import canonical


@pytest.fixture
def disk(place: Path) -> Disk:
    return disk_at(place)


def between_look_and_open(
    monkeypatch: pytest.MonkeyPatch, wanted: bytes, act: Callable[[], None]
) -> None:
    real = reading.open_file

    def opening(parent: int, name: bytes) -> int:
        if name == wanted:
            act()
        return real(parent, name)

    monkeypatch.setattr("executor.workspace.reading.open_file", opening)


def becomes_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def becomes_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("becomes", [becomes_directory, becomes_pipe])
async def test_file__that_became_another_kind_is_named_and_fails_no_save(
    disk: Disk, monkeypatch: pytest.MonkeyPatch, becomes: Callable[[Path], None]
) -> None:
    for name in ("before", "file", "later"):
        (disk.root / name).write_text(name)
    between_look_and_open(monkeypatch, b"file", lambda: becomes(disk.root / "file"))
    saved = await disk.save(Kept(), CHECKPOINT)
    assert list(items_of(saved)) == ["before", "later"]
    assert [one.path for one in saved.skipped] == [b"file"]


async def test_sparse__that_is_cut_while_it_is_read_is_read_again(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stretch of data that was found is beyond its end when that is asked for."""
    path = disk.root / "sparse"
    with path.open("wb") as file:
        file.write(b"first")
        file.truncate(8 << 20)
        file.seek(6 << 20)
        file.write(b"last")
    seek, cut = os.lseek, list[bool]()

    def seeking(handle: int, at: int, how: int) -> int:
        if how == os.SEEK_HOLE and at and not cut:
            cut.append(True)
            os.truncate(path, 5)
        return seek(handle, at, how)

    monkeypatch.setattr(os, "lseek", seeking)
    store = Kept()
    saved = await disk.save(store)
    assert cut
    assert saved.skipped == []
    monkeypatch.undo()
    await disk.restore(store, store.point(saved))
    assert path.read_bytes() == b"first"


async def test_inode__given_to_other_files_in_the_middle_mixes_nothing(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two names of one file go once it is read; two of another file come with its inode. Of many
    such files, for others take inodes too.
    """
    pairs: dict[int, tuple[Path, Path]] = {}
    for number in range(50):
        first, other = disk.root / f"a{number:02}", disk.root / f"b{number:02}"
        first.write_text("the first")
        other.hardlink_to(first)
        pairs[first.stat().st_ino] = first, other
    came: list[tuple[Path, Path]] = []

    def swap() -> None:
        for pair in pairs.values():
            for path in pair:
                path.unlink()
        files: list[Path] = []
        while not files or files[-1].stat().st_ino not in pairs:
            assert len(files) < 10_000
            files.append(disk.root.parent / f"n{len(files)}")
            files[-1].write_text("another one")
        came.append(pairs[files[-1].stat().st_ino])
        files[-1].rename(came[0][1])
        (disk.root / "c").unlink()
        (disk.root / "c").hardlink_to(came[0][1])

    between_look_and_open(monkeypatch, b"aa", swap)
    for name in ("aa", "c"):
        (disk.root / name).write_text("when the first is opened")
    store = Kept()
    saved = await disk.save(store, CHECKPOINT)
    ((first, other),) = came
    assert pairs[other.stat().st_ino] == (first, other)
    monkeypatch.undo()
    await disk.restore(store, store.point(saved))
    assert first.read_text() == "the first"
    assert other.read_text() == "another one"
    assert items_of(saved)["c"].target == os.fsencode(other.name)


async def test_hard_links__written_while_they_are_read_stay_one_file(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, other = disk.root / "a", disk.root / "b"
    first.write_text("the first")
    other.hardlink_to(first)
    (disk.root / "aa").write_text("when this is opened")
    between_look_and_open(monkeypatch, b"aa", lambda: void(other.write_text("written meanwhile")))
    store = Kept()
    saved = await disk.save(store, CHECKPOINT)
    monkeypatch.undo()
    items = items_of(saved)
    assert (items["b"].kind, items["b"].target) == (Kind.TWIN, b"a")
    second = await disk.save(store)
    before = canonical(disk.root)
    await disk.restore(store, store.point(second))
    assert canonical(disk.root) == before


def void(_: object) -> None:
    return


async def test_disk__that_fails_is_no_reason_to_leave_a_file_out(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    (disk.root / "file").write_text("content")

    def fails() -> None:
        raise OSError(errno.EIO, "broken")

    between_look_and_open(monkeypatch, b"file", fails)
    with pytest.raises(OSError, match="broken"):
        await disk.save(Kept())


async def test_skipped__thousands_are_not_all_named(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.workspace.scan.MOST_SKIPPED", 3)
    for number in range(6):
        os.mkfifo(disk.root / f"pipe{number}")
    saved = await disk.save(Kept())
    assert saved.skipped == [
        *(Skipped(f"pipe{number}".encode(), "fifo") for number in range(3)),
        Skipped(b"", "and others"),
    ]


async def test_name__of_ours_is_told_and_not_just_dropped(disk: Disk) -> None:
    (disk.root / ".berth-restore-mine").write_text("a person's")
    saved = await disk.save(Kept())
    assert saved.skipped == [Skipped(b".berth-restore-mine", "reserved")]
