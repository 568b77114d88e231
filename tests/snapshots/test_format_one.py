"""Format 1, which nothing writes any more: what cannot be is refused, also when it is old."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import zstandard
from blake3 import blake3

from snapshots.errors import Corrupt, Unusable
from snapshots.format_one import Blob, OneItem, OneManifest, converted
from snapshots.manifest import Limits, Manifest
from snapshots.model import Kind, Pack
from snapshots.reading import manifest_of

CONTENT = b"crafted content"
HASH = blake3(CONTENT).digest()
FRAME = zstandard.ZstdCompressor().compress(CONTENT)
LIMITS = Limits(1000, 1_000_000)


def file(path: bytes, **changes: Any) -> OneItem:
    known = OneItem(path, Kind.FILE, 0o644, 1, size=len(CONTENT), hash=HASH)
    return msgspec.structs.replace(known, **changes)


def directory(path: bytes) -> OneItem:
    return OneItem(path, Kind.DIRECTORY, 0o755, 1)


def link(path: bytes, target: bytes) -> OneItem:
    return OneItem(path, Kind.LINK, 0o777, 1, target=target)


def crafted(*items: OneItem, **changes: Any) -> OneManifest:
    blob = Blob(HASH, 0, 0, len(FRAME), len(CONTENT))
    known = OneManifest(1, list(items), [Pack("crafted", len(FRAME))], [blob])
    return msgspec.structs.replace(known, **changes)


def read(manifest: OneManifest) -> Manifest:
    stored = zstandard.ZstdCompressor().compress(msgspec.msgpack.encode(manifest))
    found = manifest_of(stored, LIMITS)
    list(found.items())
    return found


@pytest.mark.parametrize(
    "items",
    [
        [file(b"../outside")],
        [file(b"/etc/passwd")],
        [directory(b"a"), file(b"a/../../outside")],
        [file(b"a//b")],
        [file(b"")],
        [file(b".")],
        [file(b"nul\0byte")],
        [file(b"x" * 256)],
        [file(b"twice"), file(b"twice")],
        [file(b"no-parent/file")],
        [link(b"l", b"/etc"), file(b"l/passwd")],
        [file(b"f"), file(b"f/inside")],
        [link(b"l", b"")],
        [link(b"l", b"nul\0")],
        [file(b"f", size=5)],
        [file(b"f", hash=b"x" * 32)],
        [file(b"f", size=len(CONTENT) * 2)],
    ],
)
def test_items__that_cannot_be_are_refused(items: list[OneItem]) -> None:
    with pytest.raises(Corrupt):
        read(crafted(*items))


@pytest.mark.parametrize(
    "blob",
    [
        Blob(HASH, 1, 0, len(FRAME), len(CONTENT)),
        Blob(HASH, -1, 0, len(FRAME), len(CONTENT)),
        Blob(HASH, 0, -1, len(FRAME), len(CONTENT)),
        Blob(HASH, 0, 1, len(FRAME), len(CONTENT)),
        Blob(HASH, 0, 0, len(FRAME), 1 << 40),
        Blob(b"short", 0, 0, len(FRAME), len(CONTENT)),
    ],
)
def test_blobs__that_cannot_be_are_refused(blob: Blob) -> None:
    with pytest.raises(Corrupt):
        read(crafted(file(b"f"), blobs=[blob]))


def test_older_orders__are_put_right() -> None:
    """Snapshots from before memories were read first stand in another order."""
    memory = [directory(b".berth"), file(b".berth/agents"), file(b".berth/session.json")]
    found = read(crafted(directory(b"-"), *memory))
    assert [item.path for item in found.items()] == [
        *(b".berth", b".berth/session.json", b".berth/agents"),
        b"-",
    ]


def test_caps_and_formats() -> None:
    assert read(crafted(file(b"f"))).totals.files == 1
    with pytest.raises(Unusable, match="unknown_format"):
        read(crafted(format=2))
    with pytest.raises(Unusable, match="too_large"):
        read(crafted(*(directory(b"%d" % n) for n in range(1001))))


@pytest.mark.parametrize("make", [bytes, lambda: b"garbage", lambda: zeros(1 << 20)])
def test_what_is_no_manifest__is_refused(make: Callable[[], bytes]) -> None:
    with pytest.raises(Unusable):
        converted(make(), LIMITS)


def zeros(size: int) -> bytes:
    return zstandard.ZstdCompressor().compress(bytes(size))
