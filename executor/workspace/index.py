"""What the executor knows of its workspace without reading it: the items of the last snapshot, and
what each file looked like to `lstat` when it was read or written.

A file in the spool's directory, in the order of paths:

    segments        a zstd frame each, of a MessagePack array of entries
    footer          a zstd frame: whose snapshot, since when, packs, where the segments are
    the footer's length (4 bytes, big endian), `BRTX`

The next one is written beside it while a snapshot is made, and takes its place when that one is
committed. It is a memory, not a record: without it, or with a damaged one, everything is read.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import msgspec
import zstandard

from chassis.logs import get_logger
from executor.workspace.errors import SaveFailed
from snapshots.errors import Corrupt
from snapshots.manifest import SEGMENT_RAW_BYTES, unpacked
from snapshots.model import Item

FORMAT = 1
MAGIC = b"BRTX"
SEGMENT_ENTRIES = 1000
_TAIL = 8

_log = get_logger()


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """With the item's size, time and mode this is a file's fingerprint."""

    item: Item
    """Its parts name packs by their numbers in the index."""
    dev: int = 0
    ino: int = 0
    ctime_ns: int = 0
    quiet: bool = False
    """Taken when no process of the agent existed: none can have had it mapped."""


class IndexedPack(msgspec.Struct, frozen=True, array_like=True):
    key: str
    length: int
    content: int = 0
    """Bytes of files that it was made with. 0: not known."""
    named: int = 0
    """Bytes of files that the snapshot still has from it."""


class Footer(msgspec.Struct, frozen=True, array_like=True):
    format: int
    snapshot_id: UUID
    settled_ns: int
    """Of the file system's clock. A file whose ctime is older has not been written since it was
    looked at, or its ctime is another one by now."""
    packs: list[IndexedPack]
    segments: list[tuple[int, int]]
    entries: int = 0


class IndexUnusable(SaveFailed):
    def __init__(self, detail: str) -> None:
        super().__init__("index_unusable", detail)


_encoder = msgspec.msgpack.Encoder()
_entries = msgspec.msgpack.Decoder(list[Entry])


class IndexReader:
    """Open; its handle is read with `pread`, by any thread. Raises `IndexUnusable`, `OSError`."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.footer = self._read_footer()
        except BaseException:
            os.close(self._handle)
            raise

    def close(self) -> None:
        os.close(self._handle)

    def entries(self) -> Iterator[Entry]:
        for offset, length in self.footer.segments:
            try:
                raw = unpacked(self._stretch(offset, length), SEGMENT_RAW_BYTES)
                yield from _entries.decode(raw)
            except (Corrupt, msgspec.MsgspecError) as error:
                raise IndexUnusable(str(error)) from error

    def _read_footer(self) -> Footer:
        size = os.fstat(self._handle).st_size
        tail = self._stretch(max(size - _TAIL, 0), _TAIL)
        length = int.from_bytes(tail[:4], "big")
        if tail[4:] != MAGIC or length > size - _TAIL:
            raise IndexUnusable("no index")
        try:
            raw = unpacked(self._stretch(size - _TAIL - length, length), SEGMENT_RAW_BYTES)
            footer = msgspec.msgpack.decode(raw, type=Footer)
        except (Corrupt, msgspec.MsgspecError) as error:
            raise IndexUnusable(str(error)) from error
        if footer.format != FORMAT:
            raise IndexUnusable(f"format {footer.format}")
        return footer

    def _stretch(self, offset: int, length: int) -> bytes:
        return os.pread(self._handle, length, offset)


class IndexWriter:
    """Takes entries in order. What the disk does not take makes it useless, and fails no save."""

    def __init__(self, handle: int | None) -> None:
        self._handle = handle
        self._waiting: list[Entry] = []
        self._segments: list[tuple[int, int]] = []
        self._size = self._count = 0
        self._compressor = zstandard.ZstdCompressor(level=1, write_checksum=True)

    def add(self, entry: Entry) -> None:
        self._waiting.append(entry)
        if len(self._waiting) >= SEGMENT_ENTRIES:
            self._close_segment()

    def finish(self, snapshot_id: UUID, settled_ns: int, packs: list[IndexedPack]) -> None:
        if self._waiting:
            self._close_segment()
        footer = Footer(FORMAT, snapshot_id, settled_ns, packs, self._segments, self._count)
        frame = self._compressor.compress(_encoder.encode(footer))
        self._write(frame + len(frame).to_bytes(4, "big") + MAGIC)

    def _close_segment(self) -> None:
        frame = self._compressor.compress(_encoder.encode(self._waiting))
        self._count += len(self._waiting)
        self._segments.append((self._size, len(frame)))
        self._waiting = []
        self._write(frame)

    def _write(self, content: bytes) -> None:
        if self._handle is None:
            return
        view = memoryview(content)
        try:
            while view:
                written = os.pwrite(self._handle, view, self._size)
                view, self._size = view[written:], self._size + written
        except OSError as error:
            _log.warning("index_not_written", error=str(error))
            # its file stays the one's who opened it
            self._handle = None


class Index:
    """The file at `path`. Its calls block, and are for the executor's own threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._beside = path.with_suffix(".new")

    def open(self) -> IndexReader | None:
        try:
            return IndexReader(self._path)
        except FileNotFoundError:
            return None
        except (IndexUnusable, OSError) as error:
            _log.warning("index_unusable", reason=str(error))
            self.forget()
            return None

    @contextmanager
    def writing(self) -> Generator[IndexWriter]:
        """Beside; `keep` puts it into its place. Where none can be made it is written nowhere."""
        handle = self._opened_beside()
        try:
            yield IndexWriter(handle)
        finally:
            if handle is not None:
                os.close(handle)

    def _opened_beside(self) -> int | None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            # what another save left there must not be taken for this one's
            self._beside.unlink(missing_ok=True)
            return os.open(self._beside, flags, 0o600)
        except OSError as error:
            _log.warning("index_not_written", error=str(error))
            return None

    def keep(self) -> None:
        """What was written last. If that is not whole there is none."""
        try:
            IndexReader(self._beside).close()
            self._beside.replace(self._path)
        except (IndexUnusable, OSError):
            self.forget()

    def forget(self) -> None:
        self._path.unlink(missing_ok=True)

    @property
    def snapshot_id(self) -> UUID | None:
        reader = self.open()
        if reader is None:
            return None
        reader.close()
        return reader.footer.snapshot_id
