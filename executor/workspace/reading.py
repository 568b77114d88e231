"""Reads a workspace into entries and the contents that are new: the blocking half of a save.

`following()` goes on until there is a batch of contents and gives it, even in the middle of a
file: compressing and uploading run beside the walk, and at most a few batches are in memory.
"""

import errno
import os
import stat
import threading
from collections.abc import Generator
from pathlib import Path

import msgspec

from executor.workspace.contents import Contents, Frame
from executor.workspace.extents import Stretch, stretches
from executor.workspace.former import Former, stamps_writes
from executor.workspace.index import Entry, IndexReader
from executor.workspace.progress import Progress
from executor.workspace.resting import Resting
from executor.workspace.scan import (
    REFUSED,
    Found,
    open_directory,
    open_file,
    skip,
    too_large,
    walk,
)
from executor.workspace.twins import Twins
from snapshots.difference import alike
from snapshots.manifest import Limits
from snapshots.model import SMALL_BYTES, Item, Kind, Part, Skipped

READINGS = 3
"""How often a file that changes while it is read is read again."""
OTHER_KINDS = frozenset({errno.EISDIR, errno.ESPIPE})
"""What a read says of what was a file when it was looked at."""
BATCH_BYTES = 4 * 1024 * 1024
BATCH_ENTRIES = 4096

Batches = Generator["Batch", None, None]


class Batch(msgspec.Struct, frozen=True):
    """Its entries name no frame that comes after."""

    frames: list[Frame]
    entries: list[Entry]


class Tally(msgspec.Struct):
    """Against the former snapshot."""

    added: int = 0
    changed: int = 0
    touched: int = 0
    """Only their times differ."""


class Reader:
    """For one save. Raises `SaveFailed` beyond its limits, `OSError` when the disk fails."""

    def __init__(
        self,
        root: Path,
        index: IndexReader | None,
        *,
        quiet: bool,
        careful: bool,
        limits: Limits,
        progress: Progress,
        apart: frozenset[bytes] = frozenset(),
    ) -> None:
        """`quiet`: no process of the agent exists. `careful`: what was not read so is read."""
        self.skipped: list[Skipped] = []
        self.tally = Tally()
        self._former = Former(index, quiet_only=careful, believes=_tells_of_writes(root))
        self._contents = Contents(self._former)
        self._resting = Resting(quiet=quiet)
        self._quiet = quiet
        self._left = self._most = limits.max_bytes
        self._progress = progress
        self._walk = walk(
            root,
            max_items=limits.max_items,
            skipped=self.skipped,
            ignored=lambda _: None,
            apart=apart,
        )
        self._entries: list[Entry] = []
        self._twins = Twins(root)
        self._batches = self._read_all()
        self._turn = threading.Lock()

    @property
    def removed(self) -> int:
        return self._former.removed

    @property
    def same(self) -> bool:
        """As the former snapshot, times included."""
        tally = self.tally
        return not (tally.added or tally.changed or tally.touched or self.removed)

    def following(self) -> Batch | None:
        """The next batch; None when everything is in."""
        with self._turn:
            return next(self._batches, None)

    def close(self) -> None:
        """Its handles, when it was not read to the end. Waits for a `following` under way."""
        with self._turn:
            self._batches.close()

    def _read_all(self) -> Batches:
        try:
            for found in self._walk:
                former = self._former.at(found.path)
                if found.kind is Kind.FILE:
                    entry = self._known(found, former) or (yield from self._file(found))
                else:
                    entry = _other(found)
                self._count(former, entry)
                if self._is_full:
                    yield self._cut()
            self._former.finish()
            if self._entries or self._contents.waiting_bytes:
                yield self._cut()
        finally:
            self._walk.close()

    @property
    def _is_full(self) -> bool:
        return self._contents.waiting_bytes >= BATCH_BYTES or len(self._entries) >= BATCH_ENTRIES

    def _cut(self) -> Batch:
        entries, self._entries = self._entries, []
        return Batch(self._contents.taken(), entries)

    def _known(self, found: Found, former: Entry | None) -> Entry | None:
        """What needs no reading: another name of what was read, or what is as it was."""
        status = found.status
        if (first := self._twins.first_of(status)) is not None:
            return Entry(Item(found.path, Kind.TWIN, *_marks(status), target=first))
        if former is None or not self._former.holds(former, status):
            return None
        self._twins.note(found.path, status)
        self._progress.add(status.st_size if status.st_blocks else 0)
        return former

    def _count(self, former: Entry | None, entry: Entry | None) -> None:
        if entry is None:
            self._former.removed += former is not None
            return
        self._entries.append(entry)
        item = entry.item
        if item.parts:
            self._left -= item.size if len(item.parts) == 1 else item.content_bytes
            if self._left < 0:
                raise too_large(self._most)
        if former is None:
            self.tally.added += 1
        elif former is not entry:
            if not alike(former.item, item):
                self.tally.changed += 1
            elif former.item.mtime_ns != item.mtime_ns:
                self.tally.touched += 1

    def _file(self, found: Found) -> Generator[Batch, None, Entry | None]:
        handle: int | None = None
        try:
            handle = open_file(found.parent, found.name)
            entry = self._read_small(found, handle)
            if entry is None:
                entry = yield from self._read_steady(found, handle)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in REFUSED | OTHER_KINDS:
                raise
            skip(self.skipped, found.path, error.strerror or "unreadable")
            return None
        finally:
            if handle is not None:
                os.close(handle)
        return entry

    def _read_small(self, found: Found, handle: int) -> Entry | None:
        """In one go, if it is small and rests."""
        before = self._resting.seen(found.status, handle)
        if before is None or before.st_size > SMALL_BYTES:
            return None
        content = os.pread(handle, before.st_size + 1, 0)
        after = os.fstat(handle)
        if _moment(before) != _moment(after) or len(content) != after.st_size:
            return None
        parts = (self._contents.part_of(content),) if content else ()
        return self._entry(found.path, after, parts)

    def _read_steady(self, found: Found, handle: int) -> Generator[Batch, None, Entry]:
        before = _regular(handle)
        readings = 0
        while True:
            readings += 1
            rested = self._resting.seen(before, handle)
            before = rested or before
            parts: list[Part] = []
            for stretch in stretches(handle, before):
                part = self._read(handle, stretch)
                if part is not None:
                    parts.append(part)
                if part is None or part.size < stretch.size:
                    break
                if self._is_full:
                    yield self._cut()
            after = os.fstat(handle)
            size = sum(part.size for part in parts)
            changed = rested is None or _moment(before) != _moment(after) or size != after.st_size
            if not changed or readings == READINGS:
                return self._entry(found.path, after, tuple(parts), changed=changed)
            before = after

    def _read(self, handle: int, stretch: Stretch) -> Part | None:
        """Less of it, or none, where the file has become shorter."""
        if stretch.is_hole:
            return Part(stretch.size)
        content = _read_all(handle, stretch.offset, stretch.size)
        self._progress.add(len(content), files=0)
        return self._contents.part_of(content) if content else None

    def _entry(
        self, path: bytes, status: os.stat_result, parts: tuple[Part, ...], *, changed: bool = False
    ) -> Entry:
        size = sum(part.size for part in parts)
        item = Item(path, Kind.FILE, *_marks(status), size, parts, changed=changed)
        self._twins.note(path, status)
        self._progress.add(size if size <= SMALL_BYTES else 0)
        return Entry(item, status.st_dev, status.st_ino, status.st_ctime_ns, self._quiet)


def _tells_of_writes(root: Path) -> bool:
    top = open_directory(None, os.fsencode(root))
    try:
        return stamps_writes(top)
    finally:
        os.close(top)


def _other(found: Found) -> Entry | None:
    """A directory or a link."""
    target = b""
    if found.kind is Kind.LINK:
        try:
            target = os.fsencode(os.readlink(found.name, dir_fd=found.parent))
        except OSError:
            # it went away, or became something else, in this moment
            return None
    return Entry(Item(found.path, found.kind, *_marks(found.status), target=target))


def _marks(status: os.stat_result) -> tuple[int, int]:
    return status.st_mode & 0o7777, status.st_mtime_ns


def _regular(handle: int) -> os.stat_result:
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "changed kind")
    return status


def _read_all(handle: int, offset: int, size: int) -> bytes:
    """Up to `size` bytes: a read may give less."""
    content = os.pread(handle, size, offset)
    if len(content) == size or not content:
        return content
    pieces = [content]
    done = len(content)
    while done < size and (piece := os.pread(handle, size - done, offset + done)):
        pieces.append(piece)
        done += len(piece)
    return b"".join(pieces)


def _moment(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_ino,
        status.st_dev,
        status.st_mode,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
