"""Contents: what is in a frame, and whether it is what was saved."""

import zstandard
from blake3 import blake3

from snapshots.errors import Corrupt
from snapshots.manifest import unpacked
from snapshots.model import FRAME_LIMIT, Part

SAMPLE_BYTES = 64 * 1024
SHRINKS = 0.97
"""A sample that keeps more than this of its length says that compressing is in vain."""
LEVEL = 3

_MAGIC = b"\x28\xb5\x2f\xfd"
_ONE_SEGMENT_SIZE_IN_FOUR = b"\xa0"
_BLOCK_BYTES = 128 * 1024
"""No block of a frame may have more (RFC 8878, 3.1.1.2.4)."""


class Framer:
    """Makes frames. One for each thread."""

    def __init__(self) -> None:
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)
        self._quick = zstandard.ZstdCompressor(level=1)

    def frame(self, content: bytes | bytearray | memoryview) -> bytes:
        """What does not shrink is laid into the frame as it is."""
        if self._shrinks(content):
            frame = self._compressor.compress(content)
            if len(frame) < len(content):
                return frame
        return laid(content)

    def _shrinks(self, content: bytes | bytearray | memoryview) -> bool:
        size = len(content)
        if size <= SAMPLE_BYTES:
            return True
        middle = (size - SAMPLE_BYTES) // 2
        sample = memoryview(content)[middle : middle + SAMPLE_BYTES]
        return len(self._quick.compress(sample)) < SAMPLE_BYTES * SHRINKS


def laid(content: bytes | bytearray | memoryview) -> bytes:
    """A frame of raw blocks: any zstd reads it, and nothing was computed."""
    view = memoryview(content)
    pieces = [_MAGIC, _ONE_SEGMENT_SIZE_IN_FOUR, len(view).to_bytes(4, "little")]
    for start in range(0, max(len(view), 1), _BLOCK_BYTES):
        block = view[start : start + _BLOCK_BYTES]
        is_last = start + _BLOCK_BYTES >= len(view)
        pieces += [(len(block) << 3 | is_last).to_bytes(3, "little"), block]
    return b"".join(pieces)


def opened(frame: bytes | bytearray | memoryview) -> bytes:
    """A frame's content. Raises `Corrupt`."""
    return unpacked(frame, FRAME_LIMIT)


def checked(content: bytes, part: Part) -> memoryview:
    """The part's stretch of its frame's content. Raises `Corrupt` for any wrong byte."""
    found = memoryview(content)[part.start : part.start + part.size]
    if len(found) != part.size or blake3(found).digest() != part.hash:
        raise Corrupt(f"a part of {part.size} bytes differs from what was saved")
    return found
