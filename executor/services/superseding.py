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
from contracts.executors import ExecutorPhase
from contracts.snapshots import COMMIT_SIDE, CommitSide
from executor.relay import pause
from executor.services.worker import Worker
from executor.spool import Spool
from executor.threads import in_thread
from executor.workspace.errors import WorkspaceError
from executor.workspace.transfer import Superseded

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
            return False
        _log.info("saved_aside", snapshot=str(saved.draft.id))
        return True

    async def _upload_spool(self) -> str | None:
        if not self._worker.spool.pending:
            return None
        content = await spool_content(self._worker.spool)
        return await self._worker.saves.transfer.upload("spool", content)


async def spool_content(spool: Spool) -> bytes:
    """What was not acknowledged: JSON lines in one zstd frame."""
    compressor = zstandard.ZstdCompressor(level=3).compressobj()
    content = bytearray()
    after = spool.acked
    while found := await spool.read(after, entries=1000, size=4 * 1024 * 1024):
        lines = b"".join(msgspec.json.encode(entry) + b"\n" for _, entry in found)
        content += await in_thread(compressor.compress, lines)
        after = found[-1][0]
    return bytes(content) + compressor.flush()
