"""Crafted manifests: refused before anything is written, and nothing outside is ever touched."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest
import zstandard
from blake3 import blake3

from chassis.objects import ObjectStore
from contracts.snapshots import RestorePoint, Signed, SnapshotKind
from executor.relay import Relay
from executor.workspace.errors import Corrupt, RestoreFailed
from executor.workspace.manifest import Blob, Item, Kind, Manifest, Pack, decode, encode
from executor.workspace.restoring import restore
from executor.workspace.saving import Limits
from executor.workspace.transfer import Transfer
from tests.executor.outside import Outside
from tests.executor.trees import tree_at

CONTENT = b"crafted content"
HASH = blake3(CONTENT).digest()
FRAME = zstandard.ZstdCompressor().compress(CONTENT)
LIMITS = Limits(1000, 1_000_000)


def file(path: bytes, **changes: object) -> Item:
    known = Item(path, Kind.FILE, 0o644, 1, size=len(CONTENT), hash=HASH)
    return msgspec.structs.replace(known, **changes)


def directory(path: bytes) -> Item:
    return Item(path, Kind.DIRECTORY, 0o755, 1)


def link(path: bytes, target: bytes) -> Item:
    return Item(path, Kind.LINK, 0o777, 1, target=target)


def crafted(*items: Item, **changes: object) -> Manifest:
    blob = Blob(HASH, 0, 0, len(FRAME), len(CONTENT))
    known = Manifest(1, list(items), [Pack("crafted", len(FRAME))], [blob])
    return msgspec.structs.replace(known, **changes)


def decoded(manifest: Manifest) -> Manifest:
    return decode(encode(manifest), max_items=LIMITS.max_items, max_bytes=LIMITS.max_bytes)


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
        [file(b"late/file"), directory(b"late")],
        [link(b"l", b"/etc"), file(b"l/passwd")],
        [file(b"f"), file(b"f/inside")],
        [link(b"l", b"")],
        [link(b"l", b"nul\0")],
        [file(b"f", size=5)],
        [file(b"f", hash=b"x" * 32)],
        [file(b"f", size=len(CONTENT) * 2)],
    ],
)
def test_decode__refuses_items(items: list[Item]) -> None:
    with pytest.raises(Corrupt):
        decoded(crafted(*items))


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
def test_decode__refuses_blobs(blob: Blob) -> None:
    with pytest.raises(Corrupt):
        decoded(crafted(file(b"f"), blobs=[blob]))


def test_decode__caps_and_formats() -> None:
    assert decoded(crafted(file(b"f"))).files == 1
    with pytest.raises(RestoreFailed, match="unknown_format"):
        decoded(crafted(format=2))
    with pytest.raises(RestoreFailed, match="too_large"):
        decoded(crafted(*(directory(b"%d" % n) for n in range(1001))))
    bomb = zstandard.ZstdCompressor().compress(b"\0" * (1 << 20))
    lying = bomb.replace(bomb[:0], b"")
    for stored in (b"", b"garbage", bomb, lying):
        with pytest.raises(RestoreFailed):
            decode(stored, max_items=10, max_bytes=10)


@pytest.fixture
def restoring(
    place: Path, relay: Relay, outside: Outside, object_store: ObjectStore
) -> Callable[..., Awaitable[object]]:
    async def run(manifest: Manifest, content: bytes) -> None:
        key = f"crafted/{uuid4().hex}"
        manifest = msgspec.structs.replace(manifest, packs=[Pack(key, len(content))])
        stored = encode(manifest)
        await object_store.put(key, content)
        await object_store.put(f"{key}-manifest", stored)
        signed: Signed = outside.sign(f"{key}-manifest")
        point = RestorePoint(
            snapshot_id=uuid4(),
            type=SnapshotKind.ACKNOWLEDGED,
            manifest=signed,
            manifest_sha256=hashlib.sha256(stored).hexdigest(),
        )
        await restore(tree_at(place / "workspace"), point, Transfer(relay, epoch=1), limits=LIMITS)

    return run


async def test_restore__a_link_and_what_lies_beside_it_stay_apart(
    place: Path, restoring: Callable[..., Awaitable[object]]
) -> None:
    outside = place / "elsewhere"
    outside.mkdir()
    items = [directory(b"d"), link(b"d/l", str(outside).encode()), file(b"d/l2")]
    await restoring(crafted(*items), FRAME)
    assert (place / "workspace/d/l").is_symlink()
    assert not list(outside.iterdir())


async def test_restore__a_blob_that_is_larger_than_it_says_is_refused(
    restoring: Callable[..., Awaitable[object]],
) -> None:
    bomb = zstandard.ZstdCompressor().compress(b"\0" * (64 << 20))
    blob = Blob(HASH, 0, 0, len(bomb), len(CONTENT))
    with pytest.raises(Corrupt):
        await restoring(crafted(file(b"f"), blobs=[blob]), bomb)


async def test_restore__another_content_is_refused(
    restoring: Callable[..., Awaitable[object]],
) -> None:
    other = zstandard.ZstdCompressor().compress(b"CRAFTED CONTENT")
    blob = Blob(HASH, 0, 0, len(other), len(CONTENT))
    with pytest.raises(Corrupt):
        await restoring(crafted(file(b"f"), blobs=[blob]), other)
