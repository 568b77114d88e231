"""What was deleted or became something else: nothing of before comes back, on either way in."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.executor.kept import Kept
from tests.executor.snapshots import Disk, disk_at
from tests.executor.trees import canonical

Make = Callable[[Path], None]


def _file(path: Path) -> None:
    path.write_text("a file")


def _large(path: Path) -> None:
    path.write_bytes(os.urandom(5 << 20))


def _directory(path: Path) -> None:
    (path / "below").mkdir(parents=True)
    (path / "inside").write_text("inside")
    (path / "below" / "deeper").write_text("deeper")


def _locked(path: Path) -> None:
    _directory(path)
    (path / "below").chmod(0o555)
    path.chmod(0o500)


def _link(path: Path) -> None:
    path.symlink_to("../elsewhere")


def _link_to_directory(path: Path) -> None:
    path.symlink_to("kept")


def _twin(path: Path) -> None:
    os.link(path.parent / "first", path)


def _sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 9 << 20)


def _nothing(_: Path) -> None:
    """It is deleted."""


MAKES: list[Make] = [
    *(_file, _large, _directory, _locked, _link, _link_to_directory, _twin, _sparse, _nothing),
]


@pytest.mark.parametrize("reuse", [False, True])
@pytest.mark.parametrize("after", MAKES)
@pytest.mark.parametrize("before", MAKES)
async def test_replaced__by_anything(
    place: Path, before: Make, after: Make, *, reuse: bool
) -> None:
    """Saved as the one, then as the other; and back to the one over the other."""
    disk, store = disk_at(place), Kept()
    (disk.root / "kept").mkdir()
    (disk.root / "kept" / "stays").write_text("stays")
    (disk.root / "first").write_text("first of its names")
    before(disk.root / "it")
    one, tree_of_one = await disk.save(store), canonical(disk.root)
    _remove(disk.root / "it")
    after(disk.root / "it")
    two, tree_of_two = await disk.save(store), canonical(disk.root)
    for saved, tree in ((one, tree_of_one), (two, tree_of_two), (one, tree_of_one)):
        await disk.restore(store, store.point(saved), reuse=reuse)
        assert canonical(disk.root) == tree
        # what is indexed by a restore is what a save then finds
        again = await disk.save(store)
        assert (again.draft.added, again.draft.changed, again.draft.removed) == (0, 0, 0)


async def test_renamed__directory_is_not_there_twice(place: Path) -> None:
    disk, store = disk_at(place), Kept()
    _directory(disk.root / "old")
    await disk.save(store)
    (disk.root / "old").rename(disk.root / "new")
    (disk.root / "new" / "inside").rename(disk.root / "new" / "below" / "inside")
    tree = canonical(disk.root)
    saved = await disk.save(store)
    await Disk(disk.root, disk.index).restore(store, store.point(saved))
    assert canonical(disk.root) == tree
    assert not (disk.root / "old").exists()


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        for directory in (path, path / "below"):
            directory.chmod(0o700)
        shutil.rmtree(path)
