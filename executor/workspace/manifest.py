"""The manifest: what a snapshot holds, and where its bytes are. Format 1.

MessagePack (names stay the bytes that they are) of one array-like struct, in one zstd frame; the
snapshot's row holds the SHA-256 of that frame. Fields are only added, at the end. A manifest is
whole in itself: it names every pack that it needs, also those that an earlier snapshot uploaded.

A pack is a concatenation of independent zstd frames, one per blob; a blob is a file of up to
`CHUNK_BYTES`, or such a piece of a larger one. Blobs are named by the BLAKE3 of their content.
Hard links are stored as separate files. Extended attributes and owners are not stored.
"""

import enum

import msgspec
import zstandard

from executor.workspace.beneath import parts_of
from executor.workspace.errors import Corrupt, RestoreFailed, UnsafePath

FORMAT = 1
CHUNK_BYTES = 16 * 1024 * 1024
PACK_BYTES = 32 * 1024 * 1024
"""Of content, before compression."""
MANIFEST_RAW_BYTES = 1024 * 1024 * 1024
HASH_BYTES = 32
PATH_BYTES = 64 * 1024
"""Deeper trees than PATH_MAX exist; this bounds what a manifest can make us do."""


class Kind(enum.StrEnum):
    FILE = "f"
    DIRECTORY = "d"
    LINK = "l"


class Item(msgspec.Struct, frozen=True, array_like=True):
    """One file, directory or symbolic link. Directories come before what is in them."""

    path: bytes
    """Relative to the workspace."""
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
    """It was written while it was read, each time: its content may be of no one moment."""

    @property
    def blobs(self) -> list[bytes]:
        if self.kind is not Kind.FILE or not self.size:
            return []
        return self.chunks or [self.hash]


class Blob(msgspec.Struct, frozen=True, array_like=True):
    hash: bytes
    pack: int
    """Index into the manifest's packs."""
    offset: int
    length: int
    """Of its frame in the pack."""
    size: int
    """Of its content."""


class Skipped(msgspec.Struct, frozen=True, array_like=True):
    """What was there and is not in the snapshot."""

    path: bytes
    reason: str


class Pack(msgspec.Struct, frozen=True, array_like=True):
    key: str
    length: int


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    format: int
    items: list[Item]
    packs: list[Pack]
    blobs: list[Blob]
    skipped: list[Skipped] = []

    @property
    def files(self) -> int:
        return sum(item.kind is Kind.FILE for item in self.items)

    @property
    def bytes(self) -> int:
        return sum(item.size for item in self.items)


def encode(manifest: Manifest) -> bytes:
    return zstandard.ZstdCompressor(level=3).compress(msgspec.msgpack.encode(manifest))


def decode(stored: bytes, *, max_items: int, max_bytes: int) -> Manifest:
    """Raises `Corrupt`, or `RestoreFailed` for one that is too large or of another format."""
    try:
        size = zstandard.frame_content_size(stored)
        if not 0 <= size <= MANIFEST_RAW_BYTES:
            raise RestoreFailed("manifest_too_large", f"{size} bytes")
        raw = zstandard.ZstdDecompressor().decompress(stored, max_output_size=size)
        manifest = msgspec.msgpack.decode(raw, type=Manifest)
    except (zstandard.ZstdError, msgspec.MsgspecError) as error:
        raise Corrupt(f"manifest: {error}") from error
    if manifest.format != FORMAT:
        raise RestoreFailed("unknown_format", str(manifest.format))
    if len(manifest.items) > max_items or manifest.bytes > max_bytes:
        raise RestoreFailed("too_large", f"{len(manifest.items)} items, {manifest.bytes} bytes")
    _check_items(manifest)
    _check_blobs(manifest)
    return manifest


def _check_items(manifest: Manifest) -> None:
    """No path twice, none that leads out, each within a directory that comes before it."""
    directories = {b""}
    seen: set[bytes] = set()
    for item in manifest.items:
        try:
            parts_of(item.path)
        except UnsafePath as error:
            raise Corrupt(str(error)) from error
        above = item.path.rpartition(b"/")[0]
        if item.path in seen or above not in directories or len(item.path) > PATH_BYTES:
            raise Corrupt(f"misplaced path {item.path[:300]!r}")
        seen.add(item.path)
        if item.kind is Kind.DIRECTORY:
            directories.add(item.path)
        if item.kind is Kind.LINK and (not item.target or b"\0" in item.target):
            raise Corrupt(f"link without a target {item.path[:300]!r}")


def _check_blobs(manifest: Manifest) -> None:
    sizes: dict[bytes, int] = {}
    for blob in manifest.blobs:
        fits = 0 <= blob.pack < len(manifest.packs) and 0 < blob.size <= CHUNK_BYTES
        if not fits or blob.offset < 0 or blob.length <= 0 or len(blob.hash) != HASH_BYTES:
            raise Corrupt("a blob's place is impossible")
        if blob.offset + blob.length > manifest.packs[blob.pack].length:
            raise Corrupt("a blob lies beyond its pack")
        sizes[blob.hash] = blob.size
    for item in manifest.items:
        if item.kind is not Kind.FILE:
            continue
        if any(name not in sizes for name in item.blobs):
            raise Corrupt(f"no blob for {item.path[:300]!r}")
        if sum(sizes[name] for name in item.blobs) != item.size:
            raise Corrupt(f"the sizes differ for {item.path[:300]!r}")
