"""Where a file has data: the pieces in which it is read, and the holes between them."""

import errno
import os
from collections.abc import Iterator

import msgspec

from snapshots.model import FRAME_BYTES

BLOCK = 512
"""Bytes of `st_blocks`."""
GAP_BYTES = 64 * 1024
"""A smaller hole is read as the zeros that it stands for."""
MOST_HOLES = 64 * 1024
"""Of one file, so that its item stays small: in a huge one larger holes are read too."""


class Stretch(msgspec.Struct, frozen=True):
    offset: int
    size: int
    is_hole: bool = False


def stretches(handle: int, status: os.stat_result) -> Iterator[Stretch]:
    """All of the file; data is cut where offsets are multiples of `FRAME_BYTES`."""
    at = 0
    for start, end in _data(handle, status):
        if start > at:
            yield Stretch(at, start - at, is_hole=True)
        at = start
        while at < end:
            size = min(FRAME_BYTES - at % FRAME_BYTES, end - at)
            yield Stretch(at, size)
            at += size
    if at < status.st_size:
        yield Stretch(at, status.st_size - at, is_hole=True)


def _data(handle: int, status: os.stat_result) -> Iterator[tuple[int, int]]:
    if status.st_blocks * BLOCK >= status.st_size:
        yield 0, status.st_size
        return
    gap = max(GAP_BYTES, status.st_size // MOST_HOLES)
    last: tuple[int, int] | None = None
    for start, end in _extents(handle, status.st_size):
        if last is not None and start - last[1] < gap:
            last = last[0], end
            continue
        if last is not None:
            yield last
        last = start, end
    if last is not None:
        yield last


def _extents(handle: int, size: int) -> Iterator[tuple[int, int]]:
    at = 0
    while at < size:
        try:
            start = os.lseek(handle, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole is left
                return
            if error.errno != errno.EINVAL:
                raise
            # a file system that does not tell: all of it is data
            yield at, size
            return
        if start >= size:
            return
        try:
            end = min(os.lseek(handle, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # it was cut meanwhile: whoever reads it finds out
                return
            raise
        yield start, end
        at = end
