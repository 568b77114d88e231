"""Manifests that lie about themselves: refused before anything is made of them, in bounded memory.

What leads out of the workspace is in `test_crafted.py`.
"""

import hashlib
import resource
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import msgspec
import pytest
import zstandard
from blake3 import blake3

from contracts.snapshots import RestorePoint, Signed, SnapshotKind
from executor.workspace.errors import RestoreFailed
from snapshots.manifest import MAGIC, Footer, Limits, ManifestWriter, Segment
from snapshots.model import FORMAT, FRAME_LIMIT, Item, Kind, Pack, Part, Totals
from tests.executor.kept import Kept
from tests.executor.snapshots import Disk, disk_at

CONTENT = b"what is there"
FRAME = zstandard.ZstdCompressor().compress(CONTENT)
PACK = Pack("pack-0", len(FRAME))
PART = Part(len(CONTENT), blake3(CONTENT).digest(), 0, 0, len(FRAME))
LIMITS = Limits(max_items=1000, max_bytes=1_000_000)
MIB = 1 << 20


def file(path: bytes, *parts: Part, size: int | None = None) -> Item:
    known = sum(part.size for part in parts) if size is None else size
    return Item(path, Kind.FILE, 0o644, 1, known, parts)


def directory(path: bytes) -> Item:
    return Item(path, Kind.DIRECTORY, 0o755, 1)


def link(path: bytes, target: bytes = b"/etc") -> Item:
    return Item(path, Kind.LINK, 0o777, 1, target=target)


def twin(path: bytes, target: bytes) -> Item:
    return Item(path, Kind.TWIN, 0o644, 1, target=target)


def part(**changes: object) -> Part:
    return msgspec.structs.replace(PART, **changes)


def written(*items: Item, packs: list[Pack] | None = None) -> bytes:
    writer = ManifestWriter()
    for item in items:
        writer.add(item)
    return writer.finish([PACK] if packs is None else packs, [])


def stored(
    segments: list[bytes],
    *,
    totals: Totals,
    places: list[Segment] | None = None,
    kind: int = FORMAT,
    footer: bytes | None = None,
) -> bytes:
    """By hand: segments as they are, and a footer that may say anything."""
    whole, at = b"", list[Segment]()
    for segment in segments:
        at.append(Segment(len(whole), len(segment), b"a"))
        whole += segment
    known = Footer(kind, totals, at if places is None else places, [PACK])
    frame = squeezed(msgspec.msgpack.encode(known)) if footer is None else footer
    return whole + frame + len(frame).to_bytes(4, "big") + MAGIC


def squeezed(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


def segment(*items: Item) -> bytes:
    return squeezed(msgspec.msgpack.encode(list(items)))


def understated(content: bytes, said: int) -> bytes:
    """A frame whose header says so many bytes (four, after the magic number and the descriptor)."""
    frame = bytearray(squeezed(content))
    frame[5:9] = said.to_bytes(4, "little")
    return bytes(frame)


ONE = Totals(1, 1, len(CONTENT))
LIES: dict[str, Callable[[], bytes]] = {
    "twice": lambda: written(file(b"a", PART), file(b"a", PART)),
    "link, then beneath it": lambda: written(link(b"a"), file(b"a/b", PART)),
    "link and directory of one name": lambda: written(
        link(b"a"), directory(b"a"), file(b"a/b", PART)
    ),
    "directory, then link of its name": lambda: written(
        directory(b"a"), link(b"a"), file(b"a/b", PART)
    ),
    "out of order": lambda: written(file(b"b", PART), file(b"a", PART)),
    "beneath nothing": lambda: written(file(b"a/b", PART)),
    "beneath a file": lambda: written(file(b"a", PART), file(b"a/b", PART)),
    "dots": lambda: written(directory(b".."), file(b"../a", PART)),
    "dots in the middle": lambda: written(directory(b"a"), file(b"a/../../b", PART)),
    "absolute": lambda: written(file(b"/etc/cron.d/x", PART)),
    "empty name": lambda: written(directory(b"a"), file(b"a//b", PART)),
    "nothing": lambda: written(file(b"", PART)),
    "NUL": lambda: written(file(b"a\0b", PART)),
    "a name too long": lambda: written(file(b"n" * 256, PART)),
    "a path too long": lambda: written(*chain(70_000)),
    "a target with NUL": lambda: written(link(b"a", b"b\0c")),
    "no target": lambda: written(link(b"a", b"")),
    "a twin of what comes after": lambda: written(twin(b"a", b"b"), file(b"b", PART)),
    "a twin of itself": lambda: written(twin(b"a", b"a")),
    "a twin of what leads out": lambda: written(file(b"a", PART), twin(b"b", b"../../etc/passwd")),
    "a twin through a file": lambda: written(file(b"a", PART), twin(b"b", b"a/c")),
    "a twin through a link": lambda: written(link(b"a"), twin(b"b", b"a/passwd")),
    "a directory with content": lambda: written(
        Item(b"a", Kind.DIRECTORY, 0o755, 1, len(CONTENT), (PART,))
    ),
    "more than its parts": lambda: written(file(b"a", PART, size=1 << 40)),
    "less than its parts": lambda: written(file(b"a", PART, size=1)),
    "a part of minus": lambda: written(file(b"a", part(size=-5), part(size=18))),
    "a hole of minus": lambda: written(file(b"a", Part(-13), PART, size=0)),
    "a part beyond its pack": lambda: written(file(b"a", part(offset=1))),
    "a part before its pack": lambda: written(file(b"a", part(offset=-1))),
    "a part of no pack": lambda: written(file(b"a", part(pack=1))),
    "a part of pack minus two": lambda: written(file(b"a", part(pack=-2))),
    "a part larger than any": lambda: written(file(b"a", part(size=FRAME_LIMIT + 1))),
    "another hash": lambda: written(file(b"a", part(hash=b"\0" * 32))),
    "half a hash": lambda: written(file(b"a", part(hash=PART.hash[:16]))),
    "a pack twice": lambda: written(file(b"a", PART), packs=[PACK, PACK]),
    "more items than it has": lambda: stored([segment(file(b"a", PART))], totals=Totals(2, 1, 13)),
    "fewer bytes than it has": lambda: stored([segment(file(b"a", PART))], totals=Totals(1, 1, 1)),
    "ten million items": lambda: stored([], totals=Totals(10_000_000, 0, 0)),
    "a terabyte": lambda: stored([], totals=Totals(1, 1, 1 << 40)),
    "segments that overlap": lambda: stored(
        [segment(file(b"a", PART))],
        totals=ONE,
        places=[Segment(0, 20, b"a"), Segment(10, 20, b"b")],
    ),
    "a segment beyond": lambda: stored([], totals=ONE, places=[Segment(0, 1 << 40, b"a")]),
    "a segment that is none": lambda: stored([b"no frame at all"], totals=ONE),
    "a segment of something else": lambda: stored([squeezed(b"\xc0")], totals=ONE),
    "a segment that becomes a gigabyte": lambda: stored([squeezed(bytes(1 << 30))], totals=ONE),
    "a segment that says less": lambda: stored([understated(bytes(300 * MIB), 99)], totals=ONE),
    "a footer that becomes a gigabyte": lambda: stored(
        [], totals=ONE, footer=squeezed(bytes(1 << 30))
    ),
    "a footer that says less": lambda: stored(
        [], totals=ONE, footer=understated(bytes(300 * MIB), 99)
    ),
    "a footer that is none": lambda: stored([], totals=ONE, footer=b"no frame"),
    "another format": lambda: stored([], totals=ONE, kind=FORMAT + 1),
    "only an end": lambda: MAGIC,
    "a footer longer than all": lambda: b"\xff\xff\xff\xff" + MAGIC,
    "nothing at all": lambda: b"",
    "not ours": lambda: b"PK\x03\x04" + bytes(100),
}


def chain(length: int) -> list[Item]:
    """Directories one in the other, to a path of so many bytes."""
    items, path = list[Item](), b""
    while len(path) < length:
        path = path + b"/" + b"d" * 250 if path else b"d" * 250
        items.append(directory(path))
    return items


@pytest.fixture
def disk(place: Path) -> Disk:
    return disk_at(place)


async def refused(disk: Disk, content: bytes) -> None:
    store = Kept()
    store.objects = {"pack-0": FRAME, "manifest": content}
    point = RestorePoint(
        snapshot_id=UUID(int=7),
        type=SnapshotKind.ACKNOWLEDGED,
        manifest=Signed(key="manifest", url=""),
        manifest_sha256=hashlib.sha256(content).hexdigest(),
    )
    await disk.restore(store, point, limits=LIMITS)


@pytest.mark.parametrize("lie", LIES)
async def test_lie__is_refused(disk: Disk, lie: str) -> None:
    place = disk.root.parent
    beside = sorted(path.name for path in place.iterdir())
    with pytest.raises(RestoreFailed):
        await refused(disk, LIES[lie]())
    # what may be left is nobody's, and is wiped
    assert all(path.name.startswith(".berth-restore-") for path in disk.root.iterdir())
    assert not any(path.is_symlink() for path in disk.root.rglob("*"))
    assert sorted(path.name for path in place.iterdir()) == beside
    assert disk.index.open() is None


async def test_truth__is_restored(disk: Disk) -> None:
    """The other way round: what the lies are made of is good by itself."""
    await refused(disk, written(directory(b"a"), file(b"a/b", PART), twin(b"c", b"a/b")))
    assert (disk.root / "c").read_bytes() == CONTENT
    disk.index.forget()
    await refused(disk, stored([segment(file(b"a", PART))], totals=ONE))
    assert (disk.root / "a").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "lie", [name for name in LIES if "gigabyte" in name or "says less" in name]
)
async def test_bomb__takes_no_memory(disk: Disk, lie: str) -> None:
    bomb = LIES[lie]()
    tracemalloc.start()
    try:
        with pytest.raises(RestoreFailed):
            await refused(disk, bomb)
        assert tracemalloc.get_traced_memory()[1] < 64 * MIB
    finally:
        tracemalloc.stop()


async def test_hole__larger_than_any_file_is_an_error_of_the_disk(disk: Disk) -> None:
    """A hole costs nothing, whatever its size; beyond what a file can be, the kernel says so."""
    with pytest.raises((RestoreFailed, OSError)):
        await refused(disk, written(file(b"a", Part(1 << 62))))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 4 * MIB
    assert not (disk.root / "a").exists()


async def test_tree__deeper_than_any_path_is_restored_or_refused_as_a_whole(disk: Disk) -> None:
    """Beneath handles there is no longest path: as deep as a manifest may be, it is made."""
    items = chain(20_000)
    await refused(disk, written(*items))
    assert len(list(disk.root.iterdir())) == 1
