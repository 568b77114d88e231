"""Reads a workspace into items and packs: the blocking half of a save.

`Packer.following()` goes on until a pack is full and gives it, even in the middle of a file:
uploads run beside the walk, and at most a few packs are in memory. What a former manifest holds is
referenced, not packed again; every file is read and hashed each time.
"""

import errno
import os
import stat
import threading
from collections.abc import Generator
from pathlib import Path

import msgspec
import zstandard
from blake3 import blake3

from executor.workspace.errors import SaveFailed
from executor.workspace.manifest import (
    CHUNK_BYTES,
    FORMAT,
    PACK_BYTES,
    Blob,
    Item,
    Kind,
    Manifest,
    Pack,
    Skipped,
)
from executor.workspace.scan import REFUSED, Found, open_file, walk

READINGS = 3
"""How often a file that changes while it is read is read again."""


class Frame(msgspec.Struct, frozen=True):
    """Where a blob is in the pack that is being made."""

    hash: bytes
    offset: int
    length: int
    size: int


class FullPack(msgspec.Struct, frozen=True):
    content: bytes
    frames: list[Frame]


class StoredPack(msgspec.Struct, frozen=True):
    key: str
    length: int
    frames: list[Frame]


class Packer:
    """For one save. Raises `SaveFailed` beyond its limits, `OSError` when the disk fails."""

    def __init__(
        self, root: Path, base: Manifest | None, *, max_items: int, max_bytes: int
    ) -> None:
        self.skipped: list[Skipped] = []
        self.items: list[Item] = []
        self._base = base
        self._known = {blob.hash for blob in base.blobs} if base else set[bytes]()
        self._left = max_bytes
        self._walk = walk(root, max_items=max_items, skipped=self.skipped)
        self._packs = self._pack_all()
        self._turn = threading.Lock()
        self._frames: list[Frame] = []
        self._content = bytearray()
        self._raw = 0
        self._compressor = zstandard.ZstdCompressor(level=3)

    def following(self) -> FullPack | None:
        """The next pack; None when everything is in."""
        with self._turn:
            return next(self._packs, None)

    def close(self) -> None:
        """Its handles, when it was not read to the end. Waits for a `following` under way."""
        with self._turn:
            self._packs.close()

    def manifest(self, uploaded: list[StoredPack]) -> Manifest:
        """With the key that each new pack got. Only packs and blobs that are needed are named."""
        needed = {name for item in self.items for name in item.blobs}
        packs: list[Pack] = []
        blobs: list[Blob] = []
        for stored in uploaded:
            found = [frame for frame in stored.frames if frame.hash in needed]
            needed.difference_update(frame.hash for frame in found)
            number = len(packs)
            packs.append(Pack(stored.key, stored.length))
            blobs += [Blob(f.hash, number, f.offset, f.length, f.size) for f in found]
        self._refer(needed, packs, blobs)
        return Manifest(FORMAT, self.items, packs, blobs, self.skipped)

    def _refer(self, needed: set[bytes], packs: list[Pack], blobs: list[Blob]) -> None:
        """What is left is in the packs of the base."""
        if self._base is None:
            return
        numbers: dict[int, int] = {}
        for blob in self._base.blobs:
            if blob.hash not in needed:
                continue
            needed.discard(blob.hash)
            if blob.pack not in numbers:
                numbers[blob.pack] = len(packs)
                packs.append(self._base.packs[blob.pack])
            place = numbers[blob.pack]
            blobs.append(Blob(blob.hash, place, blob.offset, blob.length, blob.size))

    def _pack_all(self) -> Generator[FullPack, None, None]:
        try:
            for found in self._walk:
                item = yield from self._item(found)
                if item is not None:
                    self.items.append(item)
            if self._frames:
                yield self._full()
        finally:
            self._walk.close()

    def _item(self, found: Found) -> Generator[FullPack, None, Item | None]:
        status = found.status
        mode, mtime = status.st_mode & 0o7777, status.st_mtime_ns
        match found.kind:
            case Kind.DIRECTORY:
                return Item(found.path, found.kind, mode, mtime)
            case Kind.LINK:
                return _link(found, mode, mtime)
            case Kind.FILE:
                return (yield from self._file(found))

    def _file(self, found: Found) -> Generator[FullPack, None, Item | None]:
        handle: int | None = None
        try:
            handle = open_file(found.parent, found.name)
            _check_regular(handle)
            return (yield from self._read_steady(found, handle))
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            self.skipped.append(Skipped(found.path, error.strerror or "unreadable"))
            return None
        finally:
            if handle is not None:
                os.close(handle)

    def _read_steady(self, found: Found, handle: int) -> Generator[FullPack, None, Item]:
        readings = 0
        while True:
            readings += 1
            before = os.fstat(handle)
            whole, chunks, size = yield from self._read(handle, before.st_size)
            after = os.fstat(handle)
            changed = _moment(before) != _moment(after) or size != after.st_size
            if not changed or readings == READINGS:
                break
        self._left -= size
        if self._left < 0:
            raise SaveFailed("too_large")
        return Item(
            found.path,
            Kind.FILE,
            after.st_mode & 0o7777,
            after.st_mtime_ns,
            size=size,
            hash=whole,
            chunks=chunks if len(chunks) > 1 else [],
            changed=changed,
        )

    def _read(
        self, handle: int, size: int
    ) -> Generator[FullPack, None, tuple[bytes, list[bytes], int]]:
        """(hash, hashes of the pieces, bytes read), up to the size that it had at first."""
        whole = blake3()
        chunks: list[bytes] = []
        done = 0
        while done < size:
            chunk = _read_chunk(handle, done, min(CHUNK_BYTES, size - done))
            if not chunk:
                break
            whole.update(chunk)
            chunks.append(self._keep(chunk))
            done += len(chunk)
            if self._raw + CHUNK_BYTES > PACK_BYTES:
                yield self._full()
        return whole.digest(), chunks, done

    def _keep(self, chunk: bytes) -> bytes:
        name = blake3(chunk).digest()
        if name not in self._known:
            frame = self._compressor.compress(chunk)
            self._frames.append(Frame(name, len(self._content), len(frame), len(chunk)))
            self._content += frame
            self._raw += len(chunk)
            self._known.add(name)
        return name

    def _full(self) -> FullPack:
        full = FullPack(bytes(self._content), self._frames)
        self._frames, self._content, self._raw = [], bytearray(), 0
        return full


def _check_regular(handle: int) -> None:
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        raise OSError(errno.EINVAL, "changed kind")


def _link(found: Found, mode: int, mtime: int) -> Item | None:
    try:
        target = os.readlink(found.name, dir_fd=found.parent)
    except OSError:
        # it went away, or became something else, in this moment
        return None
    return Item(found.path, found.kind, mode, mtime, target=os.fsencode(target))


def _read_chunk(handle: int, offset: int, size: int) -> bytes:
    pieces: list[bytes] = []
    while size:
        piece = os.pread(handle, size, offset)
        if not piece:
            break
        pieces.append(piece)
        offset, size = offset + len(piece), size - len(piece)
    return b"".join(pieces)


def _moment(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
