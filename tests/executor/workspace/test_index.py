"""What is not read again, and what must be."""

import mmap
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from executor.workspace import reading
from executor.workspace.former import stamps_writes
from executor.workspace.index import Entry, Index, IndexReader
from executor.workspace.saving import save
from snapshots.model import Item
from tests.executor.kept import Kept
from tests.executor.snapshots import (
    ACKNOWLEDGED,
    CHECKPOINT,
    Disk,
    disk_at,
    items_of,
    manifest_in,
)
from tests.executor.trees import canonical, make_odd_tree, tree_at

Opened = list[str]


@pytest.fixture
def disk(place: Path) -> Disk:
    return disk_at(place)


@pytest.fixture
def store() -> Kept:
    return Kept()


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Names of the files that a save opened."""
    names: Opened = []
    real = reading.open_file

    def noted(parent: int, name: bytes) -> int:
        names.append(os.fsdecode(name))
        return real(parent, name)

    monkeypatch.setattr("executor.workspace.reading.open_file", noted)
    return names


async def settled(disk: Disk, store: Kept) -> None:
    """Saved and restored: all that is there is vouched for."""
    saved = await disk.save(store)
    await disk.restore(store, store.point(saved))


def until_later(path: Path, probe: Path) -> None:
    """The file system's clock has moved on since `path` was written."""
    while not probe.exists() or probe.stat().st_ctime_ns <= path.stat().st_ctime_ns:
        probe.touch()
    probe.unlink()


async def test_restored__the_first_save_opens_nothing(
    disk: Disk, store: Kept, opened: Opened
) -> None:
    make_odd_tree(disk.root)
    before = canonical(disk.root)
    await settled(disk, store)
    opened.clear()
    saved = await disk.save(store)
    assert opened == []
    assert (saved.draft.added, saved.draft.changed, saved.draft.removed) == (0, 0, 0)
    await disk.restore(store, store.point(saved))
    assert canonical(disk.root) == before


async def test_written__with_its_size_and_time_as_before_is_read(
    disk: Disk, store: Kept, opened: Opened
) -> None:
    for name in ("one", "two"):
        (disk.root / name).write_text("before")
    await settled(disk, store)
    status = (disk.root / "one").stat()
    with (disk.root / "one").open("r+") as file:
        file.write("after!")
    os.utime(disk.root / "one", ns=(status.st_atime_ns, status.st_mtime_ns))
    opened.clear()
    saved = await disk.save(store)
    assert opened == ["one"]
    assert (saved.draft.added, saved.draft.changed) == (0, 1)


async def test_moved_and_copied__is_read_but_not_uploaded(
    disk: Disk, store: Kept, opened: Opened
) -> None:
    (disk.root / "one").write_bytes(os.urandom(100_000))
    await settled(disk, store)
    shutil.copy(disk.root / "one", disk.root / "copy")
    (disk.root / "one").rename(disk.root / "moved")
    opened.clear()
    saved = await disk.save(store)
    assert sorted(opened) == ["copy", "moved"]
    assert len(store.packs) == 1
    assert items_of(saved)["copy"].parts == items_of(saved)["moved"].parts


@pytest.mark.parametrize(("older_by", "read"), [(0, ["file"]), (1, [])])
async def test_racy__what_is_as_new_as_the_index_is_read(
    older_by: int, read: list[str], disk: Disk, store: Kept, opened: Opened
) -> None:
    (disk.root / "file").write_text("content")
    await settled(disk, store)
    reader = disk.index.open()
    assert reader is not None
    (entry,) = reader.entries()
    rewrite(disk.index, reader, [entry], settled_ns=entry.ctime_ns + older_by)
    opened.clear()
    await disk.save(store)
    assert opened == read


async def test_clock__put_back_nothing_is_believed(disk: Disk, store: Kept, opened: Opened) -> None:
    (disk.root / "file").write_text("content")
    await settled(disk, store)
    reader = disk.index.open()
    assert reader is not None
    rewrite(disk.index, reader, list(reader.entries()), settled_ns=1 << 62)
    opened.clear()
    await disk.save(store)
    assert opened == ["file"]


def rewrite(index: Index, reader: IndexReader, entries: list[Entry], *, settled_ns: int) -> None:
    with index.writing() as writer:
        for entry in entries:
            writer.add(entry)
        writer.finish(uuid4(), settled_ns, reader.footer.packs)
    index.keep()
    reader.close()


async def test_mapped__what_is_written_without_a_new_ctime_is_in_the_acknowledged_save(
    disk: Disk, store: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is dirty already when the checkpoint reads it."""
    monkeypatch.setattr("executor.workspace.saving.RACY_NS", 0)
    path = disk.root / "database"
    path.write_bytes(b"-" * mmap.PAGESIZE)
    await settled(disk, store)
    with path.open("r+b") as file, mmap.mmap(file.fileno(), mmap.PAGESIZE) as mapped:
        mapped[0:1] = b"1"
        until_later(path, disk.root / "probe")
        await disk.save(store, CHECKPOINT)
        mapped[0:1] = b"2"
    saved = await disk.save(store)
    await disk.restore(store, store.point(saved))
    assert path.read_bytes()[:1] == b"2"


async def test_checkpoint__vouches_for_what_it_took_over_only(
    disk: Disk, store: Kept, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.workspace.saving.RACY_NS", 0)
    for name in ("rests", "written"):
        (disk.root / name).write_text("before")
    await settled(disk, store)
    (disk.root / "written").write_text("by the agent")
    until_later(disk.root / "written", disk.root / "probe")
    await disk.save(store, CHECKPOINT)
    opened.clear()
    await disk.save(store, CHECKPOINT)
    assert opened == []
    await disk.save(store)
    assert opened == ["written"]
    opened.clear()
    await disk.save(store)
    assert opened == []


@pytest.fixture
def in_memory() -> Generator[Path]:
    directory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield directory
    shutil.rmtree(directory)


async def test_tmpfs__is_read_each_time(
    in_memory: Path, disk: Disk, store: Kept, opened: Opened
) -> None:
    handle = os.open(in_memory, os.O_RDONLY)
    assert not stamps_writes(handle)
    os.close(handle)
    (in_memory / "file").write_text("content")
    there = Disk(in_memory, disk.index)
    await settled(there, store)
    opened.clear()
    await there.save(store)
    assert opened == ["file"]


async def test_damaged__an_index_is_no_hindrance(
    disk: Disk, store: Kept, place: Path, opened: Opened
) -> None:
    (disk.root / "file").write_text("content")
    await settled(disk, store)
    path = place / "index"
    content = bytearray(path.read_bytes())
    for damaged in (b"", content[:-20], content[:-5] + b"\0" + content[-4:]):
        path.write_bytes(damaged)
        opened.clear()
        await disk.save(store)
        assert opened == ["file"]


async def test_interrupted__a_new_index_that_was_not_kept_is_none(
    disk: Disk, store: Kept, place: Path
) -> None:
    (disk.root / "file").write_text("content")
    saved = await disk.save(store)
    (place / "index.new").write_bytes(b"half of one")
    assert disk.index.snapshot_id == saved.draft.id
    disk.index.keep()
    assert disk.index.snapshot_id is None


async def test_no_file__can_be_made_for_it_and_the_save_succeeds(
    disk: Disk, store: Kept, place: Path
) -> None:
    """A disk without inodes; here a directory stands in its place."""
    (disk.root / "file").write_text("content")
    (place / "index.new").mkdir()
    saved = await disk.save(store)
    assert (saved.draft.files, disk.index.snapshot_id) == (1, None)
    (place / "index.new").rmdir()
    again = await disk.save(store)
    assert disk.index.snapshot_id == again.draft.id


async def test_same__is_not_said_of_what_nothing_is_known_of(disk: Disk, store: Kept) -> None:
    """An emptied tree whose index is lost differs from its head."""
    (disk.root / "file").write_text("content")
    head = await disk.save(store)
    asked = msgspec.structs.replace(ACKNOWLEDGED, unless_same=True, parent=head.draft.id)
    tree = tree_at(disk.root)
    assert await save(tree, store, disk.index, asked) is None
    (disk.root / "file").unlink()
    disk.index.forget()
    saved = await save(tree, store, disk.index, asked)
    assert saved is not None
    assert saved.draft.files == 0


async def test_terminals__what_is_read_beside_them_is_read_again(
    disk: Disk, store: Kept, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.workspace.saving.RACY_NS", 0)
    (disk.root / "file").write_text("content")
    until_later(disk.root / "file", disk.root / "probe")
    await disk.save(store, msgspec.structs.replace(ACKNOWLEDGED, quiet=False))
    opened.clear()
    await disk.save(store)
    assert opened == ["file"]
    opened.clear()
    await disk.save(store, msgspec.structs.replace(ACKNOWLEDGED, quiet=False))
    assert opened == []


async def test_small_packs__too_many_are_made_into_one(disk: Disk, store: Kept) -> None:
    for number in range(66):
        (disk.root / f"{number:02}").write_bytes(os.urandom(1000))
        await disk.save(store)
    saved = await disk.save(store)
    assert len(saved.draft.packs) <= 3
    await disk.restore(store, store.point(saved))
    assert len(list(disk.root.iterdir())) == 66


async def test_pack__that_is_hardly_needed_any_more_is_left(disk: Disk, store: Kept) -> None:
    for number in range(10):
        (disk.root / f"{number}").write_bytes(os.urandom(100_000))
    (first,) = (await disk.save(store)).draft.packs
    for number in range(8):
        (disk.root / f"{number}").unlink()
    assert first in (await disk.save(store)).draft.packs
    saved = await disk.save(store)
    assert first not in saved.draft.packs
    assert sum(pack.length for pack in manifest_in(saved).packs) < 250_000
    await disk.restore(store, store.point(saved))
    assert (disk.root / "9").stat().st_size == 100_000


async def test_reuse__what_did_not_change_is_not_fetched(disk: Disk, store: Kept) -> None:
    for number in range(20):
        (disk.root / f"{number}").write_bytes(os.urandom(300_000))
    (disk.root / "linked").hardlink_to(disk.root / "3")
    first = await disk.save(store)
    before = canonical(disk.root)
    (disk.root / "1").write_bytes(os.urandom(300_000))
    (disk.root / "2").unlink()
    (disk.root / "new").write_text("new")
    second = await disk.save(store)
    await disk.restore(store, store.point(second))
    inode = (disk.root / "5").stat().st_ino
    store.reads.clear()
    await disk.restore(store, store.point(first), reuse=True)
    assert canonical(disk.root) == before
    assert (disk.root / "5").stat().st_ino == inode
    assert sum(length for _, (_, length), _ in store.reads) < 1_000_000


async def test_reuse__what_changed_since_is_fetched(disk: Disk, store: Kept) -> None:
    (disk.root / "file").write_text("saved")
    saved = await disk.save(store)
    await disk.restore(store, store.point(saved))
    (disk.root / "file").write_text("other")
    await disk.restore(store, store.point(saved), reuse=True)
    assert (disk.root / "file").read_text() == "saved"


def test_entries__keep_items_as_they_are() -> None:
    item = msgspec.convert([b"p", "f", 0o644, 1], Item, strict=False)
    encoded = msgspec.msgpack.encode(Entry(item, 1, 2, 3, quiet=True))
    assert msgspec.msgpack.decode(encoded, type=Entry) == Entry(item, 1, 2, 3, quiet=True)
