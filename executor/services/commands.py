"""Commands, as they are delivered: each is taken once, and that is remembered before it is said.

Taking is not doing: what a command starts goes on in its own task. A command that comes before the
worker is ready waits a moment, then is left to be delivered again.
"""

import asyncio
from typing import assert_never
from uuid import UUID

from contracts.commands import (
    AnyCommand,
    CancelRun,
    InterruptRun,
    ParkRun,
    RemoveWorker,
    ReplyToAsk,
    StartRun,
    StopWorker,
    SyncWorker,
)
from contracts.executors import Deliver, Delivered, ExecutorPhase
from executor.services.runs.endings import Ending
from executor.services.runs.runs import Runs
from executor.services.stopping import Stopping
from executor.services.worker import Worker

READY_SECONDS = 4.0
"""Less than the deadline of a delivery."""

ENDINGS: dict[type[CancelRun | ParkRun | InterruptRun], Ending] = {
    CancelRun: Ending.CANCELED,
    ParkRun: Ending.PARKED,
    InterruptRun: Ending.DRAINED,
}


class Commands:
    def __init__(
        self, worker: Worker, runs: Runs, stopping: Stopping, ready: asyncio.Event
    ) -> None:
        self._worker = worker
        self._runs = runs
        self._stopping = stopping
        self._ready = ready

    async def deliver(self, body: Deliver) -> Delivered:
        try:
            async with asyncio.timeout(READY_SECONDS):
                await self._ready.wait()
        except TimeoutError:
            return Delivered(done=[])
        return Delivered(done=[one.id for one in body.commands if self._take(one)])

    def _take(self, command: AnyCommand) -> bool:
        if self._known(command.id):
            return True
        if self._worker.status.phase is ExecutorPhase.STOPPED:
            # nothing is sent to a released worker: it was not released after all
            self._stopping.reopen()
        elif self._worker.status.ended or not self._runs.can_start:
            return False
        # what a command does is repeatable: taken twice after a crash in between, it does no harm
        self._do(command)
        self._worker.notes.took_command(command.id)
        return True

    def _known(self, command_id: UUID) -> bool:
        return self._worker.notes.knows_command(command_id)

    def _do(self, command: AnyCommand) -> None:
        match command:
            case StartRun():
                self._runs.start(command.run)
            case CancelRun() | ParkRun() | InterruptRun():
                self._runs.end(command.run_id, command.attempt, ENDINGS[type(command)])
            case ReplyToAsk():
                self._runs.answered(command.run_id, command.ask_id, command.request_id)
            case StopWorker():
                self._stopping.request()
            case SyncWorker():
                self._runs.sync()
            case RemoveWorker():
                # the manager's own
                pass
            case _:
                assert_never(command)
