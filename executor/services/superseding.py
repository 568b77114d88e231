"""Another worker has this session now: stop everything, save aside what only stands here.

What a superseded worker holds is not thrown away because it came late: its tree and its undrained
spool become a side snapshot, which a person can look at and restore. Then it may be removed.
"""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import zstandard

from chassis.errors import CallFailed
from chassis.failpoints import failpoint
from chassis.logs import get_logger
from contracts.errors import Code
from contracts.events import RunLog
from contracts.executors import ExecutorPhase
from contracts.snapshots import COMMIT_SIDE, MAX_OBJECT_BYTES, CommitSide
from contracts.spool import AnyEntry, EventReported
from executor.relay import pause
from executor.services.worker import Worker
from executor.spool import Spool
from executor.threads import in_thread
from executor.workspace.errors import WorkspaceError
from executor.workspace.transfer import Superseded

READ_BYTES = 4 * 1024 * 1024
GROWTH = 256
"""What cannot be compressed grows by less than one part in so many."""
RESERVED = 4096
"""Bytes for the frame itself, and for the line that says what is left out."""

_log = get_logger()


class Superseding:
    """`quiet` ends agents and the sender; it is set once everything is wired."""

    def __init__(self, worker: Worker) -> None:
        self.quiet: Callable[[], Awaitable[None]]
        self._worker = worker
        self._task: asyncio.Task[None] | None = None

    def request(self, reason: str) -> None:
        """Once; a worker that has stopped and was released has nothing more to save."""
        if self._task is None and self._worker.status.phase is not ExecutorPhase.STOPPED:
            _log.warning("superseded", reason=reason)
            self._task = asyncio.create_task(self._run(), name="supersede")

    async def wait(self) -> None:
        if self._task is not None:
            await asyncio.wait({self._task})

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        await self.quiet()
        reason = ""
        try:
            async with asyncio.timeout(self._worker.settings.side_save_deadline_seconds):
                await self._save_aside()
        except TimeoutError:
            reason = "side_save_deadline"
        except Exception:  # noqa: BLE001  # the worker's last words: its end must be told
            _log.exception("side_save_failed")
            reason = "side_save_failed"
        self._worker.status.enter(ExecutorPhase.SUPERSEDED, reason)

    async def _save_aside(self) -> None:
        """Tries until the deadline."""
        await self._worker.spool.flush()
        restored = await in_thread(lambda: self._worker.notes.restored)
        anything = self._worker.saves.dirty or self._worker.spool.pending
        if restored is None or not anything:
            return
        attempt = 0
        while not await self._try_save():
            attempt += 1
            await self._worker.clock.sleep(pause(attempt))

    async def _try_save(self) -> bool:
        try:
            spool_key = await self._upload_spool()
            await failpoint("side.after_spool_put")
            saved = await self._worker.saves.aside()
            await failpoint("side.before_commit")
            side = CommitSide(snapshot=saved.draft, spool_key=spool_key)
            await self._worker.relay.call_until_answered(COMMIT_SIDE, side)
        except (WorkspaceError, Superseded, OSError, CallFailed) as error:
            _log.warning("side_save_failed", reason=str(error))
            if isinstance(error, CallFailed) and error.code == Code.SNAPSHOT_PACKS_GONE:
                await in_thread(self._worker.saves.forget_base)
            return False
        _log.info("saved_aside", snapshot=str(saved.draft.id))
        return True

    async def _upload_spool(self) -> str | None:
        if not self._worker.spool.pending:
            return None
        content = await spool_content(self._worker.spool)
        return await self._worker.saves.transfer.upload("spool", content)


async def spool_content(spool: Spool, most: int = MAX_OBJECT_BYTES) -> bytearray:
    """What was not acknowledged: JSON lines in one zstd frame, the first ones that surely fit in
    `most` bytes. If others are left out, the last line says so.
    """
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    content = bytearray()

    def add(lines: bytes) -> None:
        content.extend(compressor.compress(lines))
        content.extend(compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))

    after, last = spool.acked, spool.last
    while after < last:
        found = await spool.read(after, entries=1000, size=READ_BYTES)
        fitting = _fitting(found, most - len(content) - RESERVED)
        if not fitting:
            await in_thread(add, _left_out(found[0][1], after + 1, last))
            break
        await in_thread(add, b"".join(fitting))
        after = found[len(fitting) - 1][0]
    content.extend(compressor.flush())
    return content


def _fitting(found: list[tuple[int, AnyEntry]], room: int) -> list[bytes]:
    """The first lines that take no more than `room`, even if nothing makes them smaller."""
    lines: list[bytes] = []
    for _, entry in found:
        line = msgspec.json.encode(entry) + b"\n"
        room -= len(line) + len(line) // GROWTH + 1
        if room < 0:
            break
        lines.append(line)
    return lines


def _left_out(entry: AnyEntry, first: int, last: int) -> bytes:
    """As an event in the place of the first of them."""
    text = f"left out, for want of room: entries {first} to {last}"
    _log.warning("spool_cut", first=first, last=last)
    event = msgspec.Raw(msgspec.json.encode(RunLog(level="warning", text=text)))
    told = EventReported(seq=first, at=entry.at, event=event)
    return msgspec.json.encode(told) + b"\n"
