"""Frames: what goes in comes out, any zstd reads them, and none costs more than its content."""

import os

import pytest
import zstandard
from blake3 import blake3

from snapshots.content import Framer, checked, laid, opened
from snapshots.errors import Corrupt
from snapshots.model import FRAME_BYTES, FRAME_LIMIT, Part

SIZES = [0, 1, 255, 65_535, 131_071, 131_072, 131_073, FRAME_BYTES]
OVERHEAD = 9 + 3 * 32


@pytest.mark.parametrize("size", SIZES)
def test_laid__is_read_by_any_zstd(size: int) -> None:
    content = os.urandom(size)
    frame = laid(content)
    assert len(frame) <= size + 9 + 3 * (size // 131_072 + 1)
    assert zstandard.frame_content_size(frame) == size
    assert zstandard.ZstdDecompressor().decompress(frame) == content
    assert opened(memoryview(frame)) == content


@pytest.mark.parametrize("size", SIZES)
def test_framer__never_makes_more_of_it(size: int) -> None:
    framer = Framer()
    for content in (os.urandom(size), bytes(size), (b"some text " * size)[:size]):
        frame = framer.frame(content)
        assert opened(frame) == content
        assert len(frame) <= size + OVERHEAD + 9


def test_framer__what_does_not_shrink_is_laid() -> None:
    noise = os.urandom(FRAME_BYTES)
    assert Framer().frame(noise) == laid(noise)
    assert len(Framer().frame(bytes(FRAME_BYTES))) < 1000


def test_framer__looks_at_the_middle() -> None:
    """A head that says otherwise does not decide for megabytes."""
    archive = b"a header of text" * 1000 + os.urandom(2 << 20)
    assert Framer().frame(archive) == laid(archive)


def test_opened__refuses_what_is_too_much_or_no_frame() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(FRAME_LIMIT + 1))
    streamed = zstandard.ZstdCompressor().compressobj()
    unsized = streamed.compress(b"x") + streamed.flush()
    for frame in (bomb, unsized, b"", b"no frame", laid(b"content")[:-1]):
        with pytest.raises(Corrupt):
            opened(frame)


def test_checked__every_byte_counts() -> None:
    content = os.urandom(1000)
    part = Part(100, blake3(content[50:150]).digest(), 0, 0, 0, 50)
    assert checked(content, part) == content[50:150]
    wrong = bytearray(content)
    wrong[149] ^= 1
    with pytest.raises(Corrupt):
        checked(bytes(wrong), part)
    with pytest.raises(Corrupt):
        checked(content[:149], part)
