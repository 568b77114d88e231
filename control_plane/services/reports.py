"""Executors' reports: reports that arrive together share one transaction.

A batch locks its sessions' streams in ascending order, folds each worker's entries onto the
fresh state, and commits once. A worker that a guard refuses leaves the batch with its own answer.
"""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

import asyncpg

from chassis.errors import BerthError, Stale
from chassis.failpoints import failpoint
from contracts.errors import Code
from contracts.spool import (
    AnyEntry,
    Asked,
    Report,
    Reported,
    RunFinishedReported,
    SnapshotCommitted,
)
from control_plane.domain import reports
from control_plane.domain.line import Policy
from control_plane.domain.packs import Naming, naming_of
from control_plane.domain.session_state import SessionState, WorkerRow
from control_plane.domain.tools import Said
from control_plane.store import packs, session_saves, session_states, tools, workers
from control_plane.store.database import Database, Unit
from control_plane.store.session_states import Loaded

GATHER_SECONDS = 0.003
MAX_BATCH = 200
AWAY = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.OperatorInterventionError)
"""The database is not there or does not answer: trying one by one would be in vain."""


@dataclass(slots=True)
class _Posted:
    worker_id: UUID
    session_id: UUID
    report: Report
    answer: asyncio.Future[Reported]
    outcome: Reported | BerthError | None = field(default=None)


@dataclass(frozen=True, slots=True)
class _Met:
    """What a batch meets in the database, beside its sessions' states."""

    taken: set[UUID]
    said: dict[UUID, list[Said]]
    gone: set[UUID]


class Reports:
    """`start` before the first report; `stop` lets the batch under way end."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy
        self._queue: asyncio.Queue[_Posted] = asyncio.Queue(maxsize=10_000)
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(2)
        self._gatherer: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._gatherer = asyncio.create_task(self._gather(), name="reports")

    async def stop(self) -> None:
        if self._gatherer is not None:
            self._gatherer.cancel()
            await asyncio.gather(self._gatherer, return_exceptions=True)
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def report(self, worker_id: UUID, session_id: UUID, report: Report) -> Reported:
        """Raises Stale: `stale_epoch`, or `expected_seq` with `seq`."""
        future: asyncio.Future[Reported] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Posted(worker_id, session_id, report, future))
        return await future

    async def _gather(self) -> None:
        while True:
            batch = [await self._queue.get()]
            await asyncio.sleep(GATHER_SECONDS)
            while len(batch) < MAX_BATCH and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._slots.acquire()
            task = asyncio.create_task(self._commit(batch), name="reports commit")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.release()

    async def _commit(self, batch: list[_Posted]) -> None:
        """One worker stands once in a transaction: a second report of it goes into the next."""
        while batch:
            now: dict[UUID, _Posted] = {}
            later: list[_Posted] = []
            for posted in batch:
                if posted.session_id in now:
                    later.append(posted)
                else:
                    now[posted.session_id] = posted
            await self._apply_or_fail(list(now.values()))
            batch = later

    async def _apply_or_fail(self, batch: list[_Posted]) -> None:
        """A failure of the whole is everybody's, but a lone report's alone: tried one by one."""
        try:
            await self.apply(batch)
        except AWAY as error:
            for posted in batch:
                _settle(posted, error)
            return
        except Exception as error:  # noqa: BLE001 # handed to each waiting request, which logs it
            if len(batch) > 1:
                for posted in batch:
                    await self._apply_or_fail([posted])
                return
            _settle(batch[0], error)
            return
        for posted in batch:
            _settle(posted, posted.outcome)

    async def apply(self, batch: list[_Posted]) -> None:
        async with self._database.unit() as unit:
            await failpoint("report.begun")
            loaded = await session_states.lock(unit, [posted.session_id for posted in batch])
            await failpoint("report.locked")
            met = _Met(
                taken=await session_states.taken(unit, _new_ids(batch)),
                said=await tools.said(unit.connection, _finishing(batch)),
                gone=await packs.lock(unit, _namings(batch, loaded)),
            )
            await failpoint("report.packs_locked")
            for posted in batch:
                state = loaded.states.get(posted.session_id)
                posted.outcome = await self._fold(unit, state, posted, met)
            await session_saves.save(unit, loaded)
            await failpoint("report.saved")
        await failpoint("report.committed")

    async def _fold(
        self, unit: Unit, state: SessionState | None, posted: _Posted, met: "_Met"
    ) -> Reported | BerthError:
        report = posted.report
        worker = speaker(state, posted.worker_id)
        if state is None or worker is None:
            return await _ended_worker(unit, posted)
        if worker.epoch != report.epoch:
            return Stale(Code.STALE_EPOCH, f"the epoch is {worker.epoch}, not {report.epoch}")
        entries = news(report, worker)
        gap = gap_in(entries, worker.last_source_seq)
        if gap is not None:
            return Stale(Code.EXPECTED_SEQ, f"entry {gap} is missing", seq=gap)
        fold = reports.Fold(
            state,
            worker,
            self._policy,
            committed_of(state),
            said=met.said,
            taken=met.taken,
            gone=met.gone,
        )
        reports.apply(fold, entries)
        return Reported(acknowledged=worker.last_source_seq, refused=fold.refused)


def _finishing(batch: list[_Posted]) -> list[UUID]:
    """Runs for which counts what their agents said of the work."""
    entries = [entry for posted in batch for entry in posted.report.entries]
    return [entry.run_id for entry in entries if isinstance(entry, RunFinishedReported)]


def _new_ids(batch: list[_Posted]) -> list[UUID]:
    """Of what executors name themselves."""
    entries = [entry for posted in batch for entry in posted.report.entries]
    asked = [entry.ask_id for entry in entries if isinstance(entry, Asked)]
    return asked + [e.snapshot.id for e in entries if isinstance(e, SnapshotCommitted)]


def _namings(batch: list[_Posted], loaded: Loaded) -> list[Naming]:
    """What is to be named, locked before anything is decided about it."""
    return [
        naming_of(entry.snapshot, project_id=state.session.project_id, session_id=posted.session_id)
        for posted in batch
        if (state := loaded.states.get(posted.session_id)) is not None
        for entry in posted.report.entries
        if isinstance(entry, SnapshotCommitted)
    ]


def speaker(state: SessionState | None, worker_id: UUID) -> WorkerRow | None:
    """The guard of the epoch: only the session's current worker is heard."""
    if state is None or state.worker is None or state.worker.id != worker_id:
        return None
    return state.worker


def news(report: Report, worker: WorkerRow) -> list[AnyEntry]:
    """What was not applied before: duplicates are decided by `last_source_seq`."""
    return [entry for entry in report.entries if entry.seq > worker.last_source_seq]


def committed_of(state: SessionState) -> set[UUID]:
    head = state.session.head_snapshot_id
    return {head} if head is not None else set()


def gap_in(entries: list[AnyEntry], last: int) -> int | None:
    """The first `seq` that is missing after `last`."""
    for expected, entry in enumerate(entries, start=last + 1):
        if entry.seq != expected:
            return expected
    return None


async def _ended_worker(unit: Unit, posted: _Posted) -> Reported | BerthError:
    """A released worker that repeats what was applied gets its answer; anybody else is told."""
    worker: WorkerRow | None = await workers.worker(unit.connection, posted.worker_id)
    entries = posted.report.entries
    known = worker is not None and worker.released and bool(entries)
    if worker is not None and known and entries[-1].seq <= worker.last_source_seq:
        return Reported(acknowledged=worker.last_source_seq)
    return Stale(Code.STALE_EPOCH, "this worker is no longer its session's")


def _settle(posted: _Posted, outcome: Reported | BaseException | None) -> None:
    if posted.answer.done():
        return
    if isinstance(outcome, Reported):
        posted.answer.set_result(outcome)
    elif isinstance(outcome, BaseException):
        posted.answer.set_exception(outcome)
