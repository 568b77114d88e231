"""A workspace whose limit nothing of the kernel's holds: measured while its agent runs.

It can be over the limit until the next look; then its run ends, and what is there is saved.
"""

import asyncio
import time
from pathlib import Path

from chassis.logs import get_logger
from executor.services.runs.endings import Ending, EndRequest
from executor.services.worker import Worker
from executor.workspace.errors import SaveFailed
from executor.workspace.scan import walk
from snapshots.model import Skipped

OVER = "its files are over its disk limit, which nothing else holds on this host"
SHARE = 20.0
"""A look may take one part in so many of the time."""
BLOCK = 512
"""Bytes of `st_blocks`, whatever the file system's own are."""

_log = get_logger()


def watching(worker: Worker, request: EndRequest) -> asyncio.Future[None]:
    """Until it is over the limit, or cancelled; at its end at once, where there is no limit."""
    return asyncio.ensure_future(_watch(worker, request))


def over_its_disk(request: EndRequest) -> bool:
    return request.ending is Ending.DISK_FULL and not request.canceled


async def _watch(worker: Worker, request: EndRequest) -> None:
    limit, entries = worker.settings.disk_bytes, worker.settings.max_entries
    while limit is not None:
        began = time.monotonic()
        try:
            over = await worker.tree.run(is_over, limit, entries)
        except OSError as error:
            # something is in the way of looking, not of the work
            _log.warning("disk_not_measured", error=str(error))
            over = False
        if over:
            _log.warning("disk_full", limit=limit)
            request.ask(Ending.DISK_FULL)
            return
        took = time.monotonic() - began
        await worker.clock.sleep(max(worker.settings.disk_look_seconds, took * SHARE))


def is_over(root: Path, limit: int, entries: int) -> bool:
    """In bytes on disk, each file once; or in entries, of which none could be saved."""
    used, linked, skipped = 0, set[tuple[int, int]](), list[Skipped]()
    try:
        for found in walk(root, max_items=entries, skipped=skipped):
            status = found.status
            if status.st_nlink > 1 and not _is_new(linked, (status.st_dev, status.st_ino)):
                continue
            used += status.st_blocks * BLOCK
            if used > limit:
                return True
    except SaveFailed:
        return True
    return False


def _is_new(known: set[tuple[int, int]], one: tuple[int, int]) -> bool:
    if one in known:
        return False
    known.add(one)
    return True
