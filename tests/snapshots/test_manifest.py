"""Format 2: what goes in comes out, as a stream, and nothing impossible is believed."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest
import zstandard
from blake3 import blake3

from contracts.snapshots import MAX_OBJECT_BYTES
from snapshots.errors import Corrupt, Unusable
from snapshots.manifest import MAGIC, STORED_BYTES, Footer, Limits, Manifest, ManifestWriter
from snapshots.model import FRAME_LIMIT, Item, Kind, Pack, Part, Skipped, Totals
from snapshots.paths import order

LIMITS = Limits(max_items=10_000, max_bytes=2**40)
PACKS = [Pack("packs/one", 1000), Pack("packs/two", 50)]


def part(size: int = 10, **changes: Any) -> Part:
    known = {"hash": blake3(b"x").digest(), "pack": 0, "offset": 0, "length": 20, "start": 0}
    return Part(size, **(known | changes))


def file(path: bytes, *parts: Part) -> Item:
    size = sum(one.size for one in parts)
    return Item(path, Kind.FILE, 0o644, 1, size=size, parts=parts)


def directory(path: bytes) -> Item:
    return Item(path, Kind.DIRECTORY, 0o755, 1)


def stored(items: Iterable[Item], packs: list[Pack] = PACKS) -> bytes:
    writer = ManifestWriter()
    for item in items:
        writer.add(item)
    return writer.finish(packs, [Skipped(b"pipe", "fifo")])


def read(items: Iterable[Item]) -> list[Item]:
    return list(Manifest(stored(items), LIMITS).items())


TREE = [
    directory(b".berth"),
    file(b".berth/session.json", part()),
    directory(b".berth/agents"),
    file(b"-", part()),
    directory(b"a"),
    file(b"a/b", part(), part(5, hash=b"", pack=-1, length=0)),
    file(b"a-b", part()),
    Item(b"l", Kind.LINK, 0o777, 1, target=b"/nowhere"),
    Item(b"twin", Kind.TWIN, 0o644, 1, target=b"a/b"),
    file(b"\xff\xfe\nname"),
]


def test_items__come_back_in_their_order() -> None:
    manifest = Manifest(stored(TREE), LIMITS)
    assert list(manifest.items()) == TREE
    assert manifest.totals == Totals(items=10, files=6, bytes=40)
    assert manifest.packs == PACKS
    assert manifest.skipped == [Skipped(b"pipe", "fifo")]


def test_many__are_found_by_path_without_reading_all() -> None:
    names = sorted((b"d/%d" % number for number in range(5000)), key=order)
    manifest = Manifest(stored([directory(b"d"), *(file(name) for name in names)]), LIMITS)
    assert len(manifest.footer.segments) == 6
    for name in (names[0], names[998], names[999], names[1000], names[-1]):
        found = manifest.find(name)
        assert found is not None
        assert found.path == name
    assert manifest.find(b"d/none") is None
    assert manifest.find(b"zz") is None
    assert sum(1 for _ in manifest.items()) == 5001


def test_large_files__fill_no_segment_beyond_what_is_read() -> None:
    """A thousand items of a file system's images, each of very many parts."""
    many = tuple(part(start=number) for number in range(15_000))
    items = [file(b"image%d" % number, *many) for number in range(5)]
    whole = stored(items)
    few = Limits(LIMITS.max_items, LIMITS.max_bytes, raw_bytes=4 << 20)
    assert list(Manifest(whole, few).items()) == items


def test_what_could_not_be_read_again__is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapshots.manifest.SEGMENT_RAW_BYTES", 100_000)
    with pytest.raises(Unusable, match="too_large"):
        stored([file(b"a", *[part()] * 20_000)])
    monkeypatch.setattr("snapshots.manifest.FOOTER_RAW_BYTES", 1000)
    with pytest.raises(Unusable, match="too_large"):
        stored([], [Pack("k" * 400, 1)] * 3)
    writer = ManifestWriter(most=1000)
    for number in range(999):
        writer.add(Item(b"%d" % number, Kind.LINK, 0, 0, target=os.urandom(20).hex().encode()))
    with pytest.raises(Unusable, match="more than 1000 bytes"):
        writer.add(Item(b"z", Kind.LINK, 0, 0, target=b"here"))


def test_stored__is_what_one_object_may_have() -> None:
    assert STORED_BYTES == MAX_OBJECT_BYTES


@pytest.mark.parametrize(
    "items",
    [
        [file(b"a"), file(b"a")],
        [file(b"b"), file(b"a")],
        [file(b"a/b")],
        [directory(b"a"), file(b"b"), file(b"a/c")],
        [file(b"a"), file(b"a/b")],
        [Item(b"a", Kind.LINK, 0, 0, target=b"b"), file(b"a/b")],
        [file(b"../a")],
        [file(b"/a")],
        [file(b"a\0")],
        [file(b"")],
        [file(b"a" * 256)],
        [Item(b"a", Kind.LINK, 0, 0)],
        [Item(b"a", Kind.LINK, 0, 0, target=b"\0")],
        [Item(b"a", Kind.TWIN, 0, 0, target=b"b")],
        [Item(b"a", Kind.DIRECTORY, 0, 0, size=1)],
        [Item(b"a", Kind.FILE, 0, 0, size=9, parts=(part(),))],
        [file(b"a", part(pack=2))],
        [file(b"a", part(offset=990))],
        [file(b"a", part(offset=-1))],
        [file(b"a", part(length=0))],
        [file(b"a", part(hash=b"short"))],
        [file(b"a", part(FRAME_LIMIT + 1))],
        [file(b"a", part(0))],
        [Item(b"a", Kind.FILE, 0o10000, 0)],
        [Item(b"a", Kind.FILE, -1, 0)],
        [Item(b"a", Kind.FILE, 0, 2**63)],
    ],
)
def test_impossible_items__are_refused(items: list[Item]) -> None:
    with pytest.raises(Corrupt):
        read(items)


def rewritten(whole: bytes, change: Callable[[Footer], Footer]) -> bytes:
    length = int.from_bytes(whole[-8:-4], "big")
    raw = zstandard.ZstdDecompressor().decompress(whole[-8 - length : -8])
    footer = change(msgspec.msgpack.decode(raw, type=Footer))
    frame = zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(footer))
    return whole[: -8 - length] + frame + len(frame).to_bytes(4, "big") + MAGIC


@pytest.mark.parametrize(
    "change",
    [
        {"totals": Totals(items=11, files=6, bytes=40)},
        {"packs": [PACKS[0], PACKS[0]]},
        {"packs": []},
        {"segments": []},
    ],
)
def test_a_footer_that_lies__is_refused(change: dict[str, Any]) -> None:
    whole = rewritten(stored(TREE), lambda footer: msgspec.structs.replace(footer, **change))
    with pytest.raises(Corrupt):
        list(Manifest(whole, LIMITS).items())


@pytest.mark.parametrize("cut", [0, 3, 8, 40, -1])
def test_truncated__is_refused(cut: int) -> None:
    whole = stored(TREE)
    with pytest.raises(Unusable):
        list(Manifest(whole[:cut], LIMITS).items())


def test_limits__are_told_by_the_footer() -> None:
    for limits in (Limits(max_items=9, max_bytes=100), Limits(max_items=99, max_bytes=39)):
        with pytest.raises(Unusable, match="too_large"):
            Manifest(stored(TREE), limits)
    Manifest(stored(TREE), Limits(max_items=10, max_bytes=40))
