"""Manifests of format 1, made into ones of format 2: their packs stay where they are.

    one zstd frame, of one MessagePack array: format, items, packs, blobs, what was skipped

A blob is a file of up to 16 MiB, or such a piece of a larger one, in a frame of its own, named by
its BLAKE3; hard links were separate files. Nothing writes this format any more.
"""

import msgspec
import zstandard

from snapshots.errors import Corrupt, Unusable
from snapshots.manifest import Limits, ManifestWriter, unpacked
from snapshots.model import FRAME_LIMIT, Item, Kind, Pack, Part, Skipped
from snapshots.paths import order

FORMAT = 1
RAW_BYTES = 1024 * 1024 * 1024
SHARE = 4
"""Times what a segment may become: all of it is one."""


class OneItem(msgspec.Struct, frozen=True, array_like=True):
    path: bytes
    kind: Kind
    mode: int
    mtime_ns: int
    size: int = 0
    hash: bytes = b""
    """A file's whole content."""
    chunks: list[bytes] = []
    """The hashes of its pieces, if it has more than one; otherwise `hash` names its one blob."""
    target: bytes = b""
    changed: bool = False


class Blob(msgspec.Struct, frozen=True, array_like=True):
    hash: bytes
    pack: int
    offset: int
    length: int
    """Of its frame in the pack."""
    size: int
    """Of its content."""


class OneManifest(msgspec.Struct, frozen=True, array_like=True):
    format: int
    items: list[OneItem]
    packs: list[Pack]
    blobs: list[Blob]
    skipped: list[Skipped] = []


def converted(stored: bytes, limits: Limits) -> bytes:
    """As it would be stored in format 2. Raises `Unusable`; whoever reads it checks its items."""
    manifest = _decoded(stored, min(RAW_BYTES, SHARE * limits.raw_bytes))
    if len(manifest.items) > limits.max_items:
        raise Unusable("too_large", f"{len(manifest.items)} items")
    if any(blob.pack < 0 or blob.size > FRAME_LIMIT for blob in manifest.blobs):
        raise Corrupt("a blob's place is impossible")
    parts = {
        blob.hash: Part(blob.size, blob.hash, blob.pack, blob.offset, blob.length)
        for blob in manifest.blobs
    }
    writer = ManifestWriter(most=RAW_BYTES)
    for item in sorted(manifest.items, key=lambda item: order(item.path)):
        writer.add(_item(item, parts))
    return writer.finish(manifest.packs, manifest.skipped)


def _decoded(stored: bytes, most: int) -> OneManifest:
    try:
        if not 0 <= zstandard.frame_content_size(stored) <= RAW_BYTES:
            raise Unusable("unknown_format", "no manifest of format 1")
        manifest = msgspec.msgpack.decode(unpacked(stored, most), type=OneManifest)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise Corrupt(f"manifest: {error}") from error
    if manifest.format != FORMAT:
        raise Unusable("unknown_format", str(manifest.format))
    return manifest


def _item(item: OneItem, parts: dict[bytes, Part]) -> Item:
    names = (item.chunks or [item.hash]) if item.kind is Kind.FILE and item.size else []
    if any(name not in parts for name in names):
        raise Corrupt(f"no blob for {item.path[:300]!r}")
    return Item(
        item.path,
        item.kind,
        item.mode,
        item.mtime_ns,
        item.size,
        tuple(parts[name] for name in names),
        item.target,
        item.changed,
    )
