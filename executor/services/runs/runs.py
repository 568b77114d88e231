"""The runs of a worker: one attempt at a time, each taken once, commands to the live one."""

import asyncio
import contextvars
from uuid import UUID

from chassis.logs import get_logger
from contracts.commands import RunSpec
from contracts.reasons import Reason
from contracts.spool import RunInterrupted
from executor.notes import AttemptNote
from executor.relay import pause
from executor.services.runs.endings import Ending
from executor.services.runs.live import Attempts, LiveAttempt
from executor.services.superseding import Superseding
from executor.services.worker import Worker
from executor.workspace.errors import WorkspaceError
from executor.workspace.transfer import Superseded

SAVE_PAUSE = 15.0
"""Seconds between attempts to save what a run left unsaved, at least."""
SAVED_PAUSE = 60.0
"""Between saves of what goes on being written beside them."""

_log = get_logger()


class Runs:
    def __init__(self, worker: Worker, superseding: Superseding) -> None:
        self._worker = worker
        self._superseding = superseding
        self._attempts: Attempts | None = None
        self._live: dict[AttemptNote, LiveAttempt] = {}
        self._line: asyncio.Task[None] | None = None
        """The last attempt that was taken; it waits for the one before it."""
        self._driving: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._saving: asyncio.Task[None] | None = None
        self._rests = False
        """It waits before it saves what was written meanwhile."""
        self._hurries = False
        """Somebody asked for a save while one was made."""
        self._context = contextvars.copy_context()
        self._open = asyncio.Event()
        self._open.set()

    @property
    def run_id(self) -> UUID | None:
        return next((note.run_id for note in self._live), None)

    @property
    def can_start(self) -> bool:
        return self._attempts is not None

    def begin_with(self, attempts: Attempts) -> None:
        self._attempts = attempts

    def start(self, spec: RunSpec) -> None:
        """Only when it `can_start`.

        Known attempts are not taken again; a former attempt of the same run is over.
        """
        assert self._attempts is not None  # noqa: S101  # see above
        note = AttemptNote(spec.run_id, spec.attempt)
        if self._worker.notes.knows_attempt(note):
            return
        self._worker.notes.took_attempt(note)
        for former, attempt in self._live.items():
            if former.run_id == spec.run_id:
                attempt.request.ask(Ending.DISOWNED)
        self._live[note] = attempt = self._attempts(self._worker, spec)
        # not in the context of the request that brought the command: a run has its own trace
        context = self._context.copy()
        self._line = asyncio.create_task(self._drive(attempt, after=self._line), context=context)
        self._tasks.add(self._line)
        self._line.add_done_callback(self._tasks.discard)

    def end(self, run_id: UUID, attempt: int, ending: Ending) -> None:
        """For an attempt that is not live it means nothing."""
        if (live := self._live.get(AttemptNote(run_id, attempt))) is not None:
            live.request.ask(ending)

    def end_all(self, ending: Ending) -> None:
        for attempt in self._live.values():
            attempt.request.ask(ending)

    def answered(self, run_id: UUID, ask_id: UUID, request_id: UUID) -> None:
        for note, attempt in self._live.items():
            if note.run_id == run_id:
                attempt.answered(ask_id, request_id)

    def save_left(self) -> None:
        """Saves in the background what is in no snapshot, until a run or a stop takes over."""
        idle = not self._live and (self._saving is None or self._saving.done())
        if idle and self._worker.saves.dirty and self._worker.status.ready:
            self._saving = asyncio.create_task(self._save_left(), name="save what is left")

    def sync(self) -> None:
        """Saves what is in no snapshot yet, without ending anything; repeated, it means nothing."""
        for attempt in self._live.values():
            attempt.checkpoint()
        if self._rests and self._saving is not None:
            self._saving.cancel()
            self._saving, self._rests = None, False
        self._hurries = True
        self.save_left()

    async def close_line(self) -> None:
        """No further attempt begins until `open_line`; waits for the live ones to end."""
        self._open.clear()
        if self._driving is not None:
            await asyncio.wait({self._driving})
        await self._stop_saving()

    def open_line(self) -> None:
        self._open.set()

    async def kill(self) -> None:
        """Everything at once, nothing reported; no process of an agent is left."""
        self._open.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stop_saving()

    async def _drive(self, attempt: LiveAttempt, *, after: asyncio.Task[None] | None) -> None:
        try:
            if after is not None:
                await asyncio.wait({after})
            await self._open.wait()
            self._driving = asyncio.current_task()
            self._worker.status.occupy()
            await self._stop_saving()
            await self._drive_one(attempt)
        finally:
            del self._live[attempt.note]
            self._driving = None
            self._worker.status.relieve()
        self.save_left()

    async def _drive_one(self, attempt: LiveAttempt) -> None:
        try:
            await attempt.drive()
        except Superseded as error:
            self._superseding.request(str(error))
        except Exception:  # noqa: BLE001  # the top of a run: others must still run
            _log.exception("attempt_failed")
            await self._give_up(attempt)

    async def _give_up(self, attempt: LiveAttempt) -> None:
        note = attempt.note
        await self._worker.reporter.entry(
            RunInterrupted(
                **self._worker.reporter.stamp(),
                run_id=note.run_id,
                attempt=note.attempt,
                reason=Reason.EXECUTOR_INTERRUPTED,
                detail="the executor failed; see its log",
            )
        )
        self._worker.notes.attempt_over(note)

    async def _save_left(self) -> None:
        attempt = 0
        while self._worker.saves.dirty:
            attempt += 1
            self._hurries = False
            try:
                await self._worker.saves.acknowledged(None)
                if self._worker.saves.dirty:  # written while it was read
                    await self._rest()
            except Superseded as error:
                self._superseding.request(str(error))
                return
            except (WorkspaceError, OSError) as error:
                _log.warning("save_failed", attempt=attempt, reason=str(error))
                await self._worker.clock.sleep(SAVE_PAUSE + pause(attempt))

    async def _rest(self) -> None:
        if self._hurries:
            return
        self._rests = True
        try:
            await self._worker.clock.sleep(SAVED_PAUSE)
        finally:
            self._rests = False

    async def _stop_saving(self) -> None:
        if (task := self._saving) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self._saving = None
