"""One session's executor: its services wired, started and ended.

It answers its manager from the first moment on, also when it cannot work: then it says why.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from chassis.logs import get_logger
from contracts.executors import Deliver, Delivered, ExecutorPhase, ExecutorStatus
from contracts.spool import AnyEntry, SnapshotCommitted, WorkerStoppedReported
from contracts.terminals import CloseCode
from executor.callbacks import Sender, SenderHooks
from executor.notes import AttemptNote
from executor.services.activation import Activation, ActivationFailed
from executor.services.changes import Changes
from executor.services.commands import Commands
from executor.services.files import WorkspaceFiles
from executor.services.loading import LoadingFailed, load_attempts
from executor.services.runs.endings import Ending
from executor.services.runs.runs import Runs
from executor.services.stopping import Stopping
from executor.services.superseding import Superseding
from executor.services.terminals import Terminals
from executor.services.upkeep import Upkeep
from executor.services.worker import Worker
from executor.workspace.errors import WorkspaceError
from executor.workspace.transfer import Superseded

OVER = frozenset({"already_finished", "stale_attempt"})
FLUSH_SECONDS = 5.0
LATER_SECONDS = 10.0
"""Without a command the agents' half is loaded so long after readiness."""
LONGEST_DETAIL = 500

_log = get_logger()


class Executor:
    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._ready = asyncio.Event()
        self._wanted = asyncio.Event()
        self._superseding = Superseding(worker)
        self._runs = Runs(worker, self._superseding)
        self.terminals = Terminals(worker, self._runs.save_left)
        self._changes = Changes(worker.saves, worker.status, self._runs.save_left)
        self.files = WorkspaceFiles(worker.tree, worker.status, self._changes)
        self._stopping = Stopping(
            worker, self._runs, self.terminals, self._changes, self._superseding
        )
        self.upkeep = Upkeep(worker, self._runs)
        self._commands = Commands(worker, self._runs, self._stopping, self._ready)
        self._activating: asyncio.Task[None] | None = None
        hooks = SenderHooks(
            superseded=lambda: self.supersede("stale_epoch"),
            refused=self._refused,
            outage=self._outage,
            lost=lambda reason: self.supersede(f"spool {reason}"),
        )
        self._sender = Sender(
            worker.spool,
            worker.relay,
            hooks,
            epoch=worker.settings.epoch,
            outage_grace=worker.settings.outage_grace_seconds,
            clock=worker.clock,
        )
        self._superseding.quiet = self._quiet

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        self._sender.start()
        self._activating = asyncio.create_task(self._activate(), name="activate")
        try:
            yield
        finally:
            await self._close()

    def status(self) -> ExecutorStatus:
        settings, status = self._worker.settings, self._worker.status
        return ExecutorStatus(
            worker_id=settings.worker_id,
            epoch=settings.epoch,
            boot_id=self._worker.boot_id,
            phase=status.phase,
            reason=status.reason,
            detail=status.detail,
            run_id=self._runs.run_id,
            idle_seconds=status.idle_seconds,
            spooled=self._worker.spool.pending,
        )

    async def deliver(self, body: Deliver) -> Delivered:
        self._wanted.set()
        delivered = await self._commands.deliver(body)
        # commands come from the control plane: it is there
        self._sender.contact()
        return delivered

    def supersede(self, reason: str) -> None:
        self._ready.set()
        self._superseding.request(reason)

    async def _activate(self) -> None:
        activation = Activation(self._worker)
        fresh = self._worker.notes.restored is None
        try:
            restored = await activation.run()
        except Superseded as error:
            self.supersede(str(error))
            return
        except (ActivationFailed, WorkspaceError) as failure:
            detail = failure.detail[:LONGEST_DETAIL]
            self._worker.status.enter(ExecutorPhase.FAILED, failure.reason, detail)
        except Exception:  # noqa: BLE001  # the top of the start: it must be told
            _log.exception("activation_failed")
            self._worker.status.enter(ExecutorPhase.FAILED, "internal")
        else:
            self._worker.required_paths = restored.required_paths
            self._worker.layered = restored.layered
            if fresh and not self._worker.settings.warm:
                await self._until_wanted()
            await self._load()
        self._ready.set()

    async def _until_wanted(self) -> None:
        """Its host may be starting others: it takes most of a second of the processor."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wanted.wait(), LATER_SECONDS)

    async def _load(self) -> None:
        """Ready already: the first command waits for this, nothing else does."""
        if self._worker.loopback is not None:
            self._worker.loopback.start()
        try:
            self._runs.begin_with(await load_attempts())
        except LoadingFailed:
            _log.exception("loading_failed")
            self._worker.status.enter(ExecutorPhase.FAILED, "agents_not_loaded")
        else:
            self._after_ready()

    def _after_ready(self) -> None:
        if self._worker.notes.stopping:
            self._stopping.request()
        elif not self._worker.notes.live:
            self._runs.save_left()

    async def _refused(self, entry: AnyEntry, code: str) -> None:
        """The control plane took an entry and did not apply it."""
        if isinstance(entry, SnapshotCommitted):
            self._worker.saves.refused(entry)
            self._runs.save_left()
        elif isinstance(entry, WorkerStoppedReported):
            self._stopping.refused(code)
        elif code in OVER and (note := _attempt_of(entry)) is not None:
            self._runs.end(note.run_id, note.attempt, Ending.DISOWNED)

    def _outage(self) -> None:
        _log.error("outage", grace=self._worker.settings.outage_grace_seconds)
        self._runs.end_all(Ending.OUTAGE)

    async def _quiet(self) -> None:
        await self._sender.stop()
        if self._activating is not None:
            self._activating.cancel()
            await asyncio.wait({self._activating})
        await self._stopping.close()
        await self.terminals.close_all(CloseCode.WORKER_GONE, "the worker was ended or superseded")
        await self._changes.close("the worker was ended or superseded")
        await self._runs.kill()

    async def _close(self) -> None:
        """SIGTERM: no agent is left, nothing in the spool is lost; the rest is the next start's."""
        await self._superseding.close()
        await self._quiet()
        await self._worker.saves.close()
        if self._worker.loopback is not None:
            await self._worker.loopback.close()
        await self._worker.relay.aclose()
        try:
            async with asyncio.timeout(FLUSH_SECONDS):
                await self._worker.spool.close()
        except TimeoutError:
            _log.error("spool_not_flushed", pending=self._worker.spool.pending)


def _attempt_of(entry: AnyEntry) -> AttemptNote | None:
    run_id, attempt = getattr(entry, "run_id", None), getattr(entry, "attempt", None)
    return AttemptNote(run_id, attempt) if run_id and attempt else None
