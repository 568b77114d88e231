"""A stop that was asked for: quiet, saved, committed, told; then nothing runs here any more.

It is done when the control plane has taken the report. A save that fails, or a report that is
refused, leaves the worker as it was: idle, with its workspace.
"""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Literal

from chassis.failpoints import failpoint
from chassis.logs import get_logger
from contracts.events import WorkerStep
from contracts.executors import ExecutorPhase
from contracts.spool import StopFailed, WorkerStoppedReported
from contracts.terminals import CloseCode
from executor.services.changes import Changes
from executor.services.leftovers import end_leftovers
from executor.services.runs.runs import Runs
from executor.services.superseding import Superseding
from executor.services.terminals import Terminals
from executor.services.worker import Worker
from executor.threads import in_thread
from executor.workspace.errors import WorkspaceError, told
from executor.workspace.transfer import Superseded

SAVE_DEADLINE = 120.0

_log = get_logger()


class Stopping:
    def __init__(
        self,
        worker: Worker,
        runs: Runs,
        terminals: Terminals,
        changes: Changes,
        superseding: Superseding,
    ) -> None:
        self._worker = worker
        self._runs = runs
        self._terminals = terminals
        self._changes = changes
        self._home = worker.settings.home_dir
        self._identity = worker.threads.identity
        self._superseding = superseding
        self._task: asyncio.Task[None] | None = None
        self._refused = ""

    def request(self) -> None:
        """A repetition while one is under way means nothing; after a failure it tries again."""
        if self._task is not None and not self._task.done():
            return
        self._worker.notes.stopping = True
        self._task = asyncio.create_task(self._run(), name="stop")

    def refused(self, code: str) -> None:
        """The control plane did not take the report."""
        self._refused = code

    def reopen(self) -> None:
        """After a stop whose report was refused, and whose refusal was lost."""
        self._worker.notes.stopping = False
        self._worker.status.enter(ExecutorPhase.READY)
        self._terminals.reopen()
        self._changes.reopen()
        self._runs.open_line()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        await self._runs.close_line()
        await self._terminals.close_all(CloseCode.WORKER_GONE, "the worker stops")
        await self._changes.close("the worker stops: ask again, and send a message to start it")
        try:
            failure = await self._stop()
        except Exception:  # noqa: BLE001  # the top of a stop: the line must not stay closed
            _log.exception("stop_failed_unexpectedly")
            failure = "internal"
            await self._failed(failure)
        if not failure:
            self._worker.status.enter(ExecutorPhase.STOPPED)
            return
        _log.warning("stop_failed", reason=failure)
        self._worker.notes.stopping = False
        self._terminals.reopen()
        self._changes.reopen()
        self._runs.open_line()
        self._runs.save_left()

    async def _stop(self) -> str:
        """Empty, or why the worker goes on."""
        reporter = self._worker.reporter
        try:
            async with self._step("save"), asyncio.timeout(SAVE_DEADLINE):
                # what a terminal may have let go of its own
                await in_thread(end_leftovers, self._home, self._identity)
                snapshot_id = await self._worker.saves.if_changed()
        except Superseded as error:
            self._superseding.request(str(error))
            return "superseded"
        except (WorkspaceError, OSError, TimeoutError) as error:
            reason = told(error)
            await self._failed(reason)
            return reason
        await failpoint("stop.before_report")
        self._refused = ""
        # the step comes first: after the release nothing is taken from this worker
        async with self._step("stop"):
            pass
        await reporter.entry(WorkerStoppedReported(**reporter.stamp(), snapshot_id=snapshot_id))
        await failpoint("stop.after_report")
        await self._worker.spool.drained()
        return self._refused

    async def _failed(self, reason: str) -> None:
        reporter = self._worker.reporter
        await reporter.entry(StopFailed(**reporter.stamp(), reason=reason))

    @asynccontextmanager
    async def _step(self, name: Literal["save", "stop"]) -> AsyncGenerator[None]:
        started = time.monotonic()
        failed = ""
        try:
            yield
        except (WorkspaceError, OSError, TimeoutError) as error:
            failed = error.reason if isinstance(error, WorkspaceError) else "save_failed"
            raise
        finally:
            await self._worker.reporter.event(
                WorkerStep(
                    worker_id=self._worker.settings.worker_id,
                    step=name,
                    outcome="failed" if failed else "done",
                    duration_ms=round((time.monotonic() - started) * 1000),
                    reason=failed,
                )
            )
