"""What a manifest says: items in the order of `paths.order`, and where their bytes are.

A pack is a concatenation of zstd frames. A frame holds up to `FRAME_BYTES` of content: one piece of
a large file, or many small files one after the other. A `Part` names a stretch of a frame's content
by place and BLAKE3, or a hole. Owners and extended attributes are not kept.
"""

import enum

import msgspec
from blake3 import blake3

FORMAT = 2
FRAME_BYTES = 4 * 1024 * 1024
"""Of content. A file's pieces begin at multiples of this, so that a change moves none."""
FRAME_LIMIT = 16 * 1024 * 1024
"""Of content in a frame that is read: those of format 1 had that much."""
SMALL_BYTES = 256 * 1024
"""Files up to this share frames."""
SHARED_BYTES = 1024 * 1024
"""Of content in a frame of small files: what must be fetched to read one of them."""
PACK_BYTES = 8 * 1024 * 1024
"""As stored: a pack is closed when it has that much; it can have one frame more."""
HASH_BYTES = 32
HOLE = -1


class Kind(enum.StrEnum):
    FILE = "f"
    DIRECTORY = "d"
    LINK = "l"
    """Symbolic."""
    TWIN = "h"
    """Another name of a file that comes before it: a hard link. `target` is that file's path."""


class Part(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A stretch of a file. Only `size` of a hole says anything."""

    size: int
    hash: bytes = b""
    pack: int = HOLE
    """Its number in the manifest."""
    offset: int = 0
    """Of its frame in the pack."""
    length: int = 0
    """Of its frame."""
    start: int = 0
    """In the frame's content."""

    @property
    def is_hole(self) -> bool:
        return self.pack == HOLE


class Item(msgspec.Struct, frozen=True, array_like=True, gc=False):
    path: bytes
    kind: Kind
    mode: int
    """Permissions, twelve bits."""
    mtime_ns: int
    size: int = 0
    """Of a file: the sum of its parts, holes too."""
    parts: tuple[Part, ...] = ()
    target: bytes = b""
    changed: bool = False
    """It was written while it was read, each time: its content may be of no one moment."""

    @property
    def content_bytes(self) -> int:
        """Holes left out."""
        return sum(part.size for part in self.parts if not part.is_hole)

    @property
    def digest(self) -> bytes:
        """Of a file's content: equal ones have equal content, if they are of one format."""
        if len(self.parts) == 1 and not self.parts[0].is_hole:
            return self.parts[0].hash
        whole = blake3()
        for part in self.parts:
            whole.update(part.size.to_bytes(8, "big") + part.hash)
        return whole.digest()

    def same(self, other: "Item") -> bool:
        """Wherever their bytes are."""
        return (
            (self.kind, self.mode, self.mtime_ns, self.size, self.target)
            == (other.kind, other.mode, other.mtime_ns, other.size, other.target)
        ) and self.same_content(other)

    def same_content(self, other: "Item") -> bool:
        if self.size != other.size or len(self.parts) != len(other.parts):
            return False
        pairs = zip(self.parts, other.parts, strict=True)
        return all((a.size, a.hash) == (b.size, b.hash) for a, b in pairs)


class Pack(msgspec.Struct, frozen=True, array_like=True):
    key: str
    length: int


class Skipped(msgspec.Struct, frozen=True, array_like=True):
    """What was there and is not in the snapshot."""

    path: bytes
    reason: str


class Totals(msgspec.Struct, frozen=True, array_like=True):
    items: int = 0
    files: int = 0
    """Twins too."""
    bytes: int = 0
    """Of files' content; holes and twins have none."""
