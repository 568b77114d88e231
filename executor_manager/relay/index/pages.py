"""Pages of an index: read whole, in room that is bounded, for each session and for all."""

import zlib
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterator
from contextlib import contextmanager

from contracts.relay import NamedUpstream
from executor_manager.relay.index.links import (
    Links,
    rewrite_html,
    rewrite_npm,
    rewrite_simple,
)

CHUNK = 64 * 1024
GZIP = 31
"""For zlib: gzip's frame, with the largest window."""

_HTML = frozenset({"text/html", "application/vnd.pypi.simple.v1+html"})
_SIMPLE = "application/vnd.pypi.simple.v1+json"
_NPM = frozenset({"application/json", "application/vnd.npm.install-v1+json"})


class PageTooLarge(Exception):
    pass


class NoRoom(Exception):
    """Other pages are being read."""


class Room:
    """Bytes of pages that are in memory; `whole` is the room that this one is a part of."""

    def __init__(self, limit: int, whole: "Room | None" = None) -> None:
        self._limit = limit
        self._whole = whole
        self._taken = 0

    def take(self, size: int) -> None:
        """Raises `NoRoom`; then nothing is taken."""
        if self._taken + size > self._limit:
            raise NoRoom
        if self._whole is not None:
            self._whole.take(size)
        self._taken += size

    def give(self, size: int) -> None:
        self._taken -= size
        if self._whole is not None:
            self._whole.give(size)


class Place:
    """What one page takes of a room."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.taken = 0

    def take(self, size: int) -> None:
        self._room.take(size)
        self.taken += size


@contextmanager
def place_in(room: Room) -> Generator[Place]:
    place = Place(room)
    try:
        yield place
    finally:
        room.give(place.taken)


async def read_page(
    parts: AsyncIterable[bytes], encoding: str, *, limit: int, place: Place
) -> bytes:
    """Raises `PageTooLarge`, `NoRoom`, and `ValueError` where it is packed otherwise."""
    page = bytearray()
    async for part in _unpacked(parts, encoding):
        if len(page) + len(part) > limit:
            raise PageTooLarge
        place.take(len(part))
        page += part
    return bytes(page)


def is_rewritten(upstream: NamedUpstream, content_type: str) -> bool:
    if upstream.index == "npm":
        return content_type in _NPM
    return content_type == _SIMPLE or content_type in _HTML


def rewritten(body: bytes, content_type: str, links: Links) -> bytes:
    """Of a type that `is_rewritten`. Raises `MsgspecError`."""
    if content_type in _HTML:
        return rewrite_html(body, links)
    if content_type == _SIMPLE:
        return rewrite_simple(body, links)
    return rewrite_npm(body, links)


async def _unpacked(parts: AsyncIterable[bytes], encoding: str) -> AsyncIterator[bytes]:
    """In small parts, however much a small one unpacks to."""
    if encoding == "identity":
        async for part in parts:
            yield part
        return
    if encoding not in {"gzip", "x-gzip"}:
        raise ValueError("it is packed in a way that was not asked for")
    packing = _Gzip()
    async for part in parts:
        for small in packing.unpacked(part):
            yield small
    for small in packing.unpacked(b""):
        yield small
    if not packing.ended:
        raise ValueError("its end is missing")


class _Gzip:
    def __init__(self) -> None:
        self._packing = zlib.decompressobj(GZIP)

    @property
    def ended(self) -> bool:
        return self._packing.eof

    def unpacked(self, part: bytes) -> Iterator[bytes]:
        try:
            while True:
                small = self._packing.decompress(part, CHUNK)
                part = self._packing.unconsumed_tail
                if self._packing.unused_data:
                    # it would be kept, without a bound
                    raise ValueError("something follows its end")
                if not small and not part:
                    return
                yield small
        except zlib.error as error:
            raise ValueError("it is packed wrongly") from error
