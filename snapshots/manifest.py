"""A manifest as it is stored, format 2: made and read as a stream, so that memory stays flat.

    segments        a zstd frame each, of a MessagePack array of items
    footer          a zstd frame: packs, where the segments are, totals, what was skipped
    the footer's length (4 bytes, big endian), `BRT2`

The snapshot's row holds the SHA-256 of all of it. Fields are only added, at the end. It is whole in
itself: it names every pack that it needs, also those that an earlier snapshot uploaded.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise

import msgspec
import zstandard

from snapshots.checks import Checks
from snapshots.errors import Corrupt, Unusable
from snapshots.model import (
    FORMAT,
    Item,
    Kind,
    Pack,
    Skipped,
    Totals,
)
from snapshots.paths import order

MAGIC = b"BRT2"
SEGMENT_ITEMS = 1000
SEGMENT_PARTS = 20_000
"""A segment is closed with so many: it can have one item's more."""
SEGMENT_NAMES = 4 * 1024 * 1024
"""Bytes of paths and targets, alike."""
STORED_BYTES = 64 * 1024 * 1024
"""Of a manifest: it is one object."""
SEGMENT_RAW_BYTES = 192 * 1024 * 1024
"""What one may become that is read: older ones have a thousand items of any size."""
FOOTER_RAW_BYTES = 256 * 1024 * 1024
LEVEL = 3
_TAIL = 8

_encoder = msgspec.msgpack.Encoder()
_items = msgspec.msgpack.Decoder(list[Item])


class Limits(msgspec.Struct, frozen=True):
    max_items: int
    max_bytes: int
    """Of content, holes left out."""
    raw_bytes: int = FOOTER_RAW_BYTES
    """What one segment, or the footer, may become. Read, it can take fifty times as much memory:
    less for whoever serves others beside.
    """


class Segment(msgspec.Struct, frozen=True, array_like=True):
    offset: int
    length: int
    first: bytes
    """The path of its first item."""


class Footer(msgspec.Struct, frozen=True, array_like=True):
    format: int
    totals: Totals
    segments: list[Segment]
    packs: list[Pack]
    skipped: list[Skipped] = []


class ManifestWriter:
    """Takes the items in order; `finish` once gives what is to be stored.

    Both raise `Unusable` `too_large` for what nobody could read again.
    """

    def __init__(self, *, most: int = STORED_BYTES) -> None:
        self._most = most
        self._stored = bytearray()
        self._segments: list[Segment] = []
        self._waiting: list[Item] = []
        self._parts = self._names = 0
        self._files = self._bytes = self._count = 0
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)

    @property
    def totals(self) -> Totals:
        return Totals(self._count, self._files, self._bytes)

    def add(self, item: Item) -> None:
        self._count += 1
        if item.kind is Kind.FILE or item.kind is Kind.TWIN:
            self._files += 1
            self._bytes += item.content_bytes
        self._waiting.append(item)
        self._parts += len(item.parts)
        self._names += len(item.path) + len(item.target)
        full = self._parts >= SEGMENT_PARTS or self._names >= SEGMENT_NAMES
        if full or len(self._waiting) >= SEGMENT_ITEMS:
            self._close_segment()

    def finish(self, packs: list[Pack], skipped: list[Skipped]) -> bytes:
        if self._waiting:
            self._close_segment()
        footer = Footer(FORMAT, self.totals, self._segments, packs, skipped)
        frame = self._frame(footer, FOOTER_RAW_BYTES)
        self._store(frame + len(frame).to_bytes(4, "big") + MAGIC)
        return bytes(self._stored)

    def _close_segment(self) -> None:
        frame = self._frame(self._waiting, SEGMENT_RAW_BYTES)
        self._segments.append(Segment(len(self._stored), len(frame), self._waiting[0].path))
        self._store(frame)
        self._waiting, self._parts, self._names = [], 0, 0

    def _frame(self, content: Footer | list[Item], most: int) -> bytes:
        raw = _encoder.encode(content)
        if len(raw) > most:
            raise Unusable("too_large", f"{len(raw)} bytes in one frame of the manifest")
        return self._compressor.compress(raw)

    def _store(self, frame: bytes) -> None:
        self._stored += frame
        if len(self._stored) > self._most:
            raise Unusable("too_large", f"a manifest of more than {self._most} bytes")


class Manifest:
    """A stored one. Raises `Unusable` and `Corrupt`, here for the footer, later for the items."""

    def __init__(self, stored: bytes, limits: Limits) -> None:
        self._stored = stored
        self._limits = limits
        self.footer = _footer(stored, limits)
        totals = self.footer.totals
        if totals.items > limits.max_items or totals.bytes > limits.max_bytes:
            raise Unusable("too_large", f"{totals.items} items, {totals.bytes} bytes")
        _check_segments(self.footer, len(stored))

    @property
    def stored(self) -> bytes:
        return self._stored

    @property
    def packs(self) -> list[Pack]:
        return self.footer.packs

    @property
    def skipped(self) -> list[Skipped]:
        return self.footer.skipped

    @property
    def totals(self) -> Totals:
        return self.footer.totals

    def items(self) -> Iterator[Item]:
        """All of them, each checked: no path twice, none that leads out, each beneath a directory
        that comes before it, each part within its pack, and as many as the footer says.
        """
        checked = Checks(self.footer.packs)
        for number in range(len(self.footer.segments)):
            for item in self._segment(number):
                checked.item(item)
                yield item
        if checked.totals != self.footer.totals:
            raise Corrupt("the totals differ")

    def items_from(self, path: bytes) -> Iterator[Item]:
        """The item at `path` and those after it, unchecked: for who looks at a few."""
        place = order(path)
        starts = [order(segment.first) for segment in self.footer.segments]
        for number in range(max(bisect_right(starts, place) - 1, 0), len(starts)):
            for item in self._segment(number):
                if order(item.path) >= place:
                    yield item

    def find(self, path: bytes) -> Item | None:
        item = next(self.items_from(path), None)
        return item if item is not None and item.path == path else None

    def _segment(self, number: int) -> list[Item]:
        segment = self.footer.segments[number]
        frame = self._stored[segment.offset : segment.offset + segment.length]
        try:
            most = min(SEGMENT_RAW_BYTES, self._limits.raw_bytes)
            return _items.decode(unpacked(frame, most))
        except msgspec.MsgspecError as error:
            raise Corrupt(f"manifest: {error}") from error


def unpacked(frame: bytes | bytearray | memoryview, limit: int) -> bytes:
    """Raises `Corrupt`, also for one that would become more than `limit` bytes."""
    try:
        size = zstandard.frame_content_size(frame)
        if not 0 <= size <= limit:
            raise Corrupt(f"a frame of {size} bytes")
        return zstandard.ZstdDecompressor().decompress(frame, max_output_size=size)
    except zstandard.ZstdError as error:
        raise Corrupt(f"frame: {error}") from error


def _footer(stored: bytes, limits: Limits) -> Footer:
    if stored[-4:] != MAGIC or len(stored) < _TAIL:
        raise Unusable("unknown_format", "no manifest of format 2")
    length = int.from_bytes(stored[-_TAIL:-4], "big")
    end = len(stored) - _TAIL
    if length > end:
        raise Corrupt("the footer lies beyond the manifest")
    try:
        raw = unpacked(stored[end - length : end], min(FOOTER_RAW_BYTES, limits.raw_bytes))
        footer = msgspec.msgpack.decode(raw, type=Footer)
    except msgspec.MsgspecError as error:
        raise Corrupt(f"manifest: {error}") from error
    if footer.format != FORMAT:
        raise Unusable("unknown_format", str(footer.format))
    return footer


def _check_segments(footer: Footer, length: int) -> None:
    place = 0
    for segment in footer.segments:
        if segment.offset != place or segment.length <= 0:
            raise Corrupt("the segments do not follow each other")
        place += segment.length
    if place > length:
        raise Corrupt("a segment lies beyond the manifest")
    firsts = [order(segment.first) for segment in footer.segments]
    if any(a >= b for a, b in pairwise(firsts)):
        raise Corrupt("the segments are out of order")
