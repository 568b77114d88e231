"""The index of a tree that was just restored: what each file looks like, before anybody is there
who could write to it.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

from executor.workspace.beneath import opened_directory
from executor.workspace.index import Entry, IndexedPack, IndexWriter
from executor.workspace.scan import Found, walk
from snapshots.manifest import Manifest
from snapshots.model import Item, Kind, Skipped
from snapshots.paths import order

TICK_SECONDS = 0.001
TICKS_SECONDS = 1.0
"""Within which the clock of any file system that is trusted moves on."""


def index_restored(
    root: Path, manifest: Manifest, writer: IndexWriter, *, snapshot_id: UUID, max_items: int
) -> None:
    """Blocks. What is not as the manifest has it (others made it meanwhile) is left out."""
    latest = 0
    skipped: list[Skipped] = []
    found = walk(root, max_items=max_items * 2, skipped=skipped)
    named = [0] * len(manifest.packs)
    try:
        for item, status in _side_by_side(manifest.items(), found):
            for part in item.parts:
                if not part.is_hole:
                    named[part.pack] += part.size
            if item.kind is Kind.FILE:
                latest = max(latest, status.st_ctime_ns)
                entry = Entry(item, status.st_dev, status.st_ino, status.st_ctime_ns, quiet=True)
                writer.add(entry)
            else:
                writer.add(Entry(item))
    finally:
        found.close()
    packs = [
        IndexedPack(pack.key, pack.length, 0, size)
        for pack, size in zip(manifest.packs, named, strict=True)
    ]
    writer.finish(snapshot_id, _settled(root, latest), packs)


def _side_by_side(
    items: Iterator[Item], found: Iterator[Found]
) -> Iterator[tuple[Item, os.stat_result]]:
    ahead = next(found, None)
    for item in items:
        while ahead is not None and order(ahead.path) < order(item.path):
            ahead = next(found, None)
        if ahead is not None and ahead.path == item.path:
            yield item, ahead.status


def _settled(root: Path, latest: int, now: Callable[[], float] = time.monotonic) -> int:
    """A ctime that is later than all in the tree: from here on a write is seen by its ctime,
    however coarse the file system's clock is.
    """
    ends = now() + TICKS_SECONDS
    with opened_directory(root) as top:
        while True:
            os.utime(top)
            settled = os.fstat(top).st_ctime_ns
            if settled > latest:
                return settled
            if now() > ends:
                return 0
            time.sleep(TICK_SECONDS)
