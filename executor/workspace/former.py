"""What the last snapshot held, beside a walk that comes by in the same order; and what of it may be
believed without reading the file again.

Believed is what has the fingerprint that the index says, under three rules (docs/adr/0025):

1. its ctime is older than the index. What was written in the moment when it was looked at may have
   been written again in that same moment;
2. a save that is acknowledged believes only what was looked at when no process of the agent
   existed. A page that is mapped and already dirty is written without a new ctime;
3. the file system is known to give a new ctime for every write, also through a mapping.
"""

import ctypes
import os
import time
from collections.abc import Iterator

from executor.workspace.index import Entry, IndexReader
from snapshots.model import Item, Kind
from snapshots.paths import order

STAMPING = frozenset({0xEF53, 0x58465342, 0x9123683E, 0xCA451A4E, 0x2FC12FC1, 0xF2F52010})
"""ext4, XFS, Btrfs, bcachefs, ZFS, F2FS (`statfs(2)`, f_type). A tmpfs does not tell of writes
through a mapping; of others, such as an overlay or a sandbox's own, it is not known."""
SMALL_PACK_BYTES = 1024 * 1024
SMALL_PACKS = 64
"""With more than so many small packs a snapshot takes many requests: what is in them is packed
again."""
POORLY_NAMED = 4
"""As is what is in a pack of which less than one part in so many is still named."""
POOR_PACKS = 4
"""Of those, in one save."""

_libc = ctypes.CDLL(None, use_errno=True)


class Former:
    """`quiet_only`: the second rule holds. Without a reader nothing is known."""

    def __init__(
        self, reader: IndexReader | None, *, quiet_only: bool, believes: bool = True
    ) -> None:
        self.removed = 0
        self._reader = reader
        self._entries: Iterator[Entry] = reader.entries() if reader else iter(())
        self._ahead = next(self._entries, None)
        self._quiet_only = quiet_only
        self._settled = reader.footer.settled_ns if reader and believes else 0
        if self._settled > time.time_ns():
            # the clock was put back: nothing is older than anything
            self._settled = 0
        self._again = worn_packs(reader) if reader and quiet_only else frozenset[int]()

    def at(self, path: bytes) -> Entry | None:
        """For paths in order; what is passed over is not there any more."""
        ahead = self._ahead
        while ahead is not None:
            if ahead.item.path == path:
                self._ahead = next(self._entries, None)
                return ahead
            if order(ahead.item.path) > order(path):
                return None
            self.removed += 1
            self._ahead = ahead = next(self._entries, None)
        return None

    def finish(self) -> None:
        while self._ahead is not None:
            self.removed += 1
            self._ahead = next(self._entries, None)

    def holds(self, entry: Entry, status: os.stat_result) -> bool:
        """The file's content is the entry's."""
        return (
            entry.ctime_ns == status.st_ctime_ns
            and entry.ctime_ns < self._settled
            and (entry.quiet or not self._quiet_only)
            and same_file(entry, status)
            and not (self._again and self._is_worn(entry.item))
        )

    def contents(self) -> Iterator[Item]:
        """Files, in no packs that are to be made anew."""
        if self._reader is None:
            return
        for entry in self._reader.entries():
            if entry.item.parts and not (self._again and self._is_worn(entry.item)):
                yield entry.item

    def _is_worn(self, item: Item) -> bool:
        return any(part.pack in self._again for part in item.parts)


def same_file(entry: Entry, status: os.stat_result) -> bool:
    """By its fingerprint, but for the ctime."""
    item = entry.item
    return (
        entry.ino == status.st_ino
        and entry.dev == status.st_dev
        and item.kind is Kind.FILE
        and item.size == status.st_size
        and item.mtime_ns == status.st_mtime_ns
        and item.mode == status.st_mode & 0o7777
        and not item.changed
    )


def worn_packs(reader: IndexReader) -> frozenset[int]:
    packs = reader.footer.packs
    small = [n for n, pack in enumerate(packs) if pack.length < SMALL_PACK_BYTES]
    poor = [n for n, pack in enumerate(packs) if pack.named * POORLY_NAMED < pack.content]
    return frozenset((small if len(small) > SMALL_PACKS else []) + poor[:POOR_PACKS])


def stamps_writes(handle: int) -> bool:
    """Whether the third rule holds where the open file or directory is."""
    # f_type comes first, and is a long; the rest is of no interest
    status = (ctypes.c_long * 64)()
    if _libc.fstatfs(handle, ctypes.byref(status)) != 0:
        return False
    return status[0] & 0xFFFFFFFF in STAMPING
