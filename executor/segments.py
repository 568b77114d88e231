"""The spool's files: frames in segments, each frame whole or not there.

`<first seq>.seg` holds frames in order; a frame is `seq, length, CRC of the payload, CRC of those
three`, then the payload. A process that dies while writing leaves a prefix of its last frame, which
is cut off; anything else that does not fit means that the files are not what was written. Segments
whose last entry is acknowledged are removed, `acked` is written and synced before that, so that the
next seq is known without them.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from chassis.failpoints import failpoint_sync

HEADER = struct.Struct(">QII")
CRC = struct.Struct(">I")
FRAME_BYTES = HEADER.size + CRC.size
SEGMENT_BYTES = 8 * 1024 * 1024
DRAINED_BYTES = 64 * 1024
"""A segment this large is removed as soon as all of it is acknowledged."""


class SpoolRefused(Exception):
    """The files are not this worker's spool; `reason` is `other_worker`, `other_epoch`, …"""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the spool is refused: {reason}")
        self.reason = reason


class Acked(msgspec.Struct, frozen=True):
    seq: int


class Segment:
    """One file. `end` is where whole frames end, `last` the seq of the last one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.first = int(path.stem)
        self.last = self.first - 1
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.end = 0

    def recover(self, *, final: bool) -> None:
        """Reads it through. Only the final segment may end in a torn frame, which is cut off."""
        size = os.fstat(self.fd).st_size
        for seq, payload, end in self.frames(0, size):
            if seq != self.last + 1 or payload is None:
                raise SpoolRefused("corrupt")
            self.last, self.end = seq, end
        if self.end == size:
            return
        if not final:
            raise SpoolRefused("corrupt")
        os.ftruncate(self.fd, self.end)
        os.fdatasync(self.fd)

    def frames(self, start: int, end: int) -> Iterator[tuple[int, bytes | None, int]]:
        """(seq, payload or None where its CRC is wrong, offset behind it), up to a torn frame."""
        while start + FRAME_BYTES <= end:
            head = os.pread(self.fd, FRAME_BYTES, start)
            seq, length, payload_crc = HEADER.unpack_from(head)
            if zlib.crc32(head[: HEADER.size]) != CRC.unpack_from(head, HEADER.size)[0]:
                raise SpoolRefused("corrupt")
            behind = start + FRAME_BYTES + length
            if behind > end:
                return
            payload = os.pread(self.fd, length, start + FRAME_BYTES)
            yield seq, payload if zlib.crc32(payload) == payload_crc else None, behind
            start = behind

    def write(self, frames: list[tuple[int, bytes]]) -> None:
        """All of them, synced; if that fails, none of them."""
        data = b"".join(framed(seq, payload) for seq, payload in frames)
        try:
            failpoint_sync("spool.before_write")
            _pwrite_all(self.fd, data, self.end)
            failpoint_sync("spool.after_write")
            os.fdatasync(self.fd)
        except OSError:
            os.ftruncate(self.fd, self.end)
            raise
        self.end += len(data)
        self.last = frames[-1][0]
        failpoint_sync("spool.after_sync")

    def remove(self) -> None:
        os.close(self.fd)
        self.path.unlink()

    def close(self) -> None:
        os.close(self.fd)


class Segments:
    """The directory of segments. Not thread-safe: its owner calls one method at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._segments: list[Segment] = []
        self.acked = 0
        self.last = 0
        self._cursor = (0, 0)
        """(seq, offset behind it) of the last frame read, so that reading on does not search."""

    def recover(self) -> None:
        """Raises `SpoolRefused` for files that are not what was written."""
        acked = self._directory / "acked"
        if acked.exists():
            try:
                self.acked = msgspec.json.decode(acked.read_bytes(), type=Acked).seq
            except msgspec.MsgspecError as error:
                raise SpoolRefused("corrupt") from error
        paths = sorted(self._directory.glob("*.seg"), key=lambda path: int(path.stem))
        for number, path in enumerate(paths, start=1):
            segment = Segment(path)
            self._segments.append(segment)
            segment.recover(final=number == len(paths))
        self._check_order()
        self.last = self._segments[-1].last if self._segments else self.acked

    def _check_order(self) -> None:
        expected = min(self.acked + 1, self._segments[0].first) if self._segments else 0
        for segment in self._segments:
            if segment.first != expected:
                raise SpoolRefused("gap")
            expected = segment.last + 1
        if self._segments and self._segments[-1].last < self.acked:
            raise SpoolRefused("gap")

    @property
    def size(self) -> int:
        return sum(segment.end for segment in self._segments)

    def write(self, frames: list[tuple[int, bytes]]) -> None:
        if not self._segments or self._segments[-1].end >= SEGMENT_BYTES:
            name = f"{self.last + 1:020d}.seg"
            self._segments.append(Segment(self._directory / name))
            sync_directory(self._directory)
        self._segments[-1].write(frames)
        self.last = frames[-1][0]

    def read(self, after: int, *, entries: int, size: int) -> list[tuple[int, bytes]]:
        """What follows seq `after`, within both bounds but at least one. Raises `SpoolRefused`."""
        found: list[tuple[int, bytes]] = []
        taken = 0
        for segment in self._segments:
            if segment.last <= after:
                continue
            for seq, payload, behind in segment.frames(self._start(segment, after), segment.end):
                if payload is None:
                    raise SpoolRefused("corrupt")
                if seq <= after:
                    continue
                taken += len(payload)
                if found and (len(found) == entries or taken > size):
                    return found
                found.append((seq, payload))
                self._cursor = (seq, behind)
        return found

    def acknowledge(self, seq: int) -> None:
        """Up to `seq`, which is at most `last`. Removes what is not needed any more."""
        if seq <= self.acked:
            return
        drained = [one for one in self._segments if one.last <= seq and self._removable(one)]
        replace_file(
            self._directory / "acked", msgspec.json.encode(Acked(seq)), durable=bool(drained)
        )
        self.acked = seq
        failpoint_sync("spool.after_acked")
        for segment in drained:
            self._segments.remove(segment)
            segment.remove()
            failpoint_sync("spool.after_remove")

    def close(self) -> None:
        for segment in self._segments:
            segment.close()
        self._segments.clear()

    def _removable(self, segment: Segment) -> bool:
        return segment is not self._segments[-1] or segment.end >= DRAINED_BYTES

    def _start(self, segment: Segment, after: int) -> int:
        seq, behind = self._cursor
        return behind if seq == after and segment.first <= seq <= segment.last else 0


def framed(seq: int, payload: bytes) -> bytes:
    head = HEADER.pack(seq, len(payload), zlib.crc32(payload))
    return head + CRC.pack(zlib.crc32(head)) + payload


def replace_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """The file has its former or its new content, whatever happens."""
    beside = path.with_name(path.name + ".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        _pwrite_all(descriptor, content, 0)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    beside.replace(path)
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _pwrite_all(descriptor: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written
