"""Disks that are full, of bytes or of files, at a restore and beside a save: a clean error, nothing
that looks restored, nothing left, and the next attempt succeeds once there is room.
"""

import errno
import os
import random
from collections.abc import Generator
from pathlib import Path

import pytest

from executor.workspace.errors import is_full
from executor.workspace.index import Index
from executor.workspace.restoring import is_empty, wipe
from tests.executor.kept import Kept
from tests.executor.snapshots import Disk, disk_at
from tests.executor.trees import Line, canonical, make_odd_tree
from tests.fixtures.small_disk import MIB, small_disk

pytestmark = pytest.mark.root
BALLAST = "ballast"


@pytest.fixture
def disk(place: Path) -> Disk:
    """Where there is room."""
    return disk_at(place)


@pytest.fixture
def small(place: Path) -> Generator[Disk]:
    mounted = place / "small"
    mounted.mkdir()
    with small_disk(place / "image", mounted, mib=16, inodes=600):
        (mounted / "w").mkdir()
        yield Disk(mounted / "w", Index(place / "small.index"))


def fill(root: Path, *, left_bytes: int) -> None:
    """Everything of the disk but about so many bytes, by a file that lies beside the workspace."""
    free = os.statvfs(root).f_bavail * os.statvfs(root).f_frsize
    size = max(free - left_bytes, 1)
    with (root.parent / BALLAST).open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
        # written too: what is only reserved is a hole to who looks for one
        file.write(bytes(size))


def make_tree(root: Path) -> list[Line]:
    make_odd_tree(root)
    for number in range(40):
        (root / f"f{number}").write_bytes(os.urandom(100_000))
    (root / "large").write_bytes(os.urandom(5 * MIB))
    return canonical(root)


@pytest.mark.parametrize("seed", range(10))
async def test_restore__on_a_full_disk_fails_clean(disk: Disk, small: Disk, seed: int) -> None:
    """Ten times, with room for another part of the tree."""
    store, tree = Kept(), make_tree(disk.root)
    saved = await disk.save(store)
    fill(small.root, left_bytes=random.Random(seed).randrange(8 * MIB))
    with pytest.raises(OSError) as full:
        await small.restore(store, store.point(saved))
    assert full.value.errno == errno.ENOSPC
    assert is_full(full.value)
    shown = [path.name for path in small.root.iterdir()]
    assert all(name.startswith(".berth-restore-") for name in shown)
    assert small.index.open() is None
    wipe(small.root)
    assert is_empty(small.root)
    (small.root.parent / BALLAST).unlink()
    await small.restore(store, store.point(saved))
    assert canonical(small.root) == tree


async def test_restore__without_inodes_fails_clean(disk: Disk, small: Disk) -> None:
    store = Kept()
    for number in range(400):
        (disk.root / f"f{number}").write_text(str(number))
    tree = canonical(disk.root)
    saved = await disk.save(store)
    for number in range(300):
        (small.root.parent / f"taken{number}").touch()
    with pytest.raises(OSError) as full:
        await small.restore(store, store.point(saved))
    assert is_full(full.value)
    wipe(small.root)
    for path in small.root.parent.glob("taken*"):
        path.unlink()
    await small.restore(store, store.point(saved))
    assert canonical(small.root) == tree


async def test_restore_over_what_is_there__on_a_full_disk_can_be_made_anew(
    disk: Disk, small: Disk
) -> None:
    store, tree = Kept(), make_tree(disk.root)
    saved = await disk.save(store)
    await small.restore(store, store.point(saved))
    (disk.root / "more").write_bytes(os.urandom(6 * MIB))
    later = await disk.save(store)
    fill(small.root, left_bytes=MIB)
    with pytest.raises(OSError) as full:
        await small.restore(store, store.point(later), reuse=True)
    assert is_full(full.value)
    await small.restore(store, store.point(saved))
    assert canonical(small.root) == tree


async def test_save__without_room_for_its_index_saves_all_the_same(disk: Disk, small: Disk) -> None:
    """The index is a memory: without it everything is read again, and nothing is lost."""
    store, tree = Kept(), make_tree(disk.root)
    cramped = Disk(disk.root, Index(small.root / "index"))
    first = await cramped.save(store)
    assert cramped.index.snapshot_id == first.draft.id
    (disk.root / "written").write_text("since")
    after = canonical(disk.root)
    fill(small.root, left_bytes=0)
    second = await cramped.save(store)
    assert cramped.index.snapshot_id is None
    third = await cramped.save(store)
    for saved, expected in ((first, tree), (second, after), (third, after)):
        await disk.restore(store, store.point(saved))
        assert canonical(disk.root) == expected


async def test_save__of_a_full_disk_needs_no_room_there(disk: Disk, small: Disk) -> None:
    store = Kept()
    make_odd_tree(small.root)
    (small.root / "d").mkdir()
    fill(small.root / "d", left_bytes=0)
    tree = canonical(small.root)
    saved = await small.save(store)
    await disk.restore(store, store.point(saved))
    assert canonical(disk.root) == tree
