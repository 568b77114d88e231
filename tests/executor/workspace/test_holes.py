"""Sparse files: what is not there costs nothing, and is not there afterwards either."""

import os
from pathlib import Path

import msgspec
import pytest

from executor.workspace.extents import stretches
from snapshots.manifest import Limits
from snapshots.model import FRAME_BYTES, Item
from tests.executor.kept import Kept
from tests.executor.snapshots import ACKNOWLEDGED, Disk, disk_at, items_of
from tests.executor.trees import canonical

GIB = 1 << 30


@pytest.fixture
def disk(place: Path) -> Disk:
    return disk_at(place)


def make_sparse(path: Path, size: int, data: dict[int, bytes]) -> None:
    with path.open("wb") as file:
        file.truncate(size)
        for offset, content in data.items():
            file.seek(offset)
            file.write(content)


def data_of(item: Item) -> list[tuple[int, int]]:
    at, found = 0, list[tuple[int, int]]()
    for part in item.parts:
        if not part.is_hole:
            found.append((at, part.size))
        at += part.size
    return found


async def test_hundred_gigabytes_of_nothing__cost_nothing(disk: Disk) -> None:
    store = Kept()
    path = disk.root / "sparse"
    make_sparse(path, 100 * GIB, {0: b"first", 50 * GIB + 5: b"middle", 100 * GIB - 4: b"last"})
    asked = msgspec.structs.replace(ACKNOWLEDGED, limits=Limits(10, 1 << 20))
    saved = await disk.save(store, asked)
    assert saved.draft.new_bytes < 4096
    item = items_of(saved)["sparse"]
    assert item.size == 100 * GIB
    assert saved.draft.bytes == sum(size for _, size in data_of(item)) < 1 << 20
    await disk.restore(store, store.point(saved))
    assert path.stat().st_size == 100 * GIB
    assert path.stat().st_blocks * 512 < 1 << 20
    with path.open("rb") as file:
        for offset, content in ((0, b"first"), (50 * GIB + 5, b"middle"), (100 * GIB - 4, b"last")):
            file.seek(offset)
            assert file.read(len(content)) == content


async def test_pieces__begin_where_they_would_without_holes(disk: Disk) -> None:
    """So that filling a hole moves no other piece."""
    store = Kept()
    path = disk.root / "sparse"
    make_sparse(path, 40 << 20, {9 << 20: os.urandom(10 << 20)})
    before = canonical(disk.root)
    saved = await disk.save(store)
    assert data_of(items_of(saved)["sparse"]) == [
        (9 << 20, 3 << 20),
        (12 << 20, FRAME_BYTES),
        (16 << 20, 3 << 20),
    ]
    await disk.restore(store, store.point(saved))
    assert canonical(disk.root) == before
    with path.open("r+b") as file:
        file.write(os.urandom(1 << 20))
    again = await disk.save(store)
    assert again.draft.new_bytes < 2 << 20


async def test_all_hole__has_no_content(disk: Disk) -> None:
    store = Kept()
    make_sparse(disk.root / "small", 5000, {})
    make_sparse(disk.root / "large", 5 << 20, {})
    before = canonical(disk.root)
    saved = await disk.save(store)
    assert saved.draft.bytes <= 5000
    await disk.restore(store, store.point(saved))
    assert canonical(disk.root) == before


def test_small_holes__are_read_as_zeros(tmp_path: Path) -> None:
    path = tmp_path / "holes"
    make_sparse(path, 1 << 20, dict.fromkeys(range(0, 1 << 20, 32 << 10), b"x"))
    with path.open("rb") as file:
        found = list(stretches(file.fileno(), os.fstat(file.fileno())))
    assert len(found) <= 2
    assert sum(stretch.size for stretch in found) == 1 << 20
