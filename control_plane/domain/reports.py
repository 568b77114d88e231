"""What an executor's spool entries do to its session. Pure: one function per kind of entry.

Precondition, checked by the service under the lock: the worker is current and the entries follow
its `last_source_seq` without a gap. An entry that a guard refuses is acknowledged, dropped and
named in the answer; it never refuses the batch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never
from uuid import UUID

from contracts.errors import Code
from contracts.events import (
    AlertRaised,
    RunStarted,
    TodoUpdate,
    WorkspaceProgress,
    WorkspaceSaved,
    WorkspaceUnsaved,
    kind_of,
)
from contracts.reasons import ADVICE, Reason
from contracts.runs import LIVE, RunState
from contracts.snapshots import SnapshotKind
from contracts.spool import (
    AnyEntry,
    Asked,
    AskWithdrawn,
    EventReported,
    Refused,
    RunFinishedReported,
    RunInterrupted,
    RunParkedReported,
    RunStartedReported,
    SnapshotCommitted,
    StopFailed,
    WorkerStoppedReported,
)
from contracts.workers import WorkerState
from control_plane.domain import (
    asks,
    line,
    reported_events,
    reported_snapshots,
    retries,
    tools,
    worker_ends,
)
from control_plane.domain.line import Policy
from control_plane.domain.session_state import (
    NewEvent,
    NewSnapshot,
    RunEnd,
    RunRow,
    SessionState,
    WorkerRow,
)
from control_plane.domain.tools import Said
from control_plane.domain.words import storable


@dataclass(slots=True)
class Fold:
    """One worker's batch on one session."""

    state: SessionState
    worker: WorkerRow
    policy: Policy
    committed: set[UUID]
    """Snapshots that a finish may name: the head, and what this batch made the head."""
    said: Mapping[UUID, Sequence[Said]] = field(default_factory=dict[UUID, Sequence[Said]])
    """By run: what agents said by tools of the platform, in order."""
    taken: set[UUID] = field(default_factory=set[UUID])
    """Ids of snapshots and requests that there are already, of whatever session."""
    gone: set[UUID] = field(default_factory=set[UUID])
    """New snapshots that name packs which are gone, or never were theirs."""
    refused: list[Refused] = field(default_factory=list[Refused])

    def refuse(self, entry: AnyEntry, code: Code) -> None:
        self.refused.append(Refused(seq=entry.seq, code=code.value))


def apply(fold: Fold, entries: list[AnyEntry]) -> None:
    for entry in entries:
        fold.worker.last_source_seq = entry.seq
        if fold.worker.released:
            fold.refuse(entry, Code.STALE_EPOCH)
            continue
        fold.state.trace_id = entry.trace_id
        _apply_one(fold, entry)


def _apply_one(fold: Fold, entry: AnyEntry) -> None:
    match entry:
        case EventReported():
            _event(fold, entry)
        case SnapshotCommitted():
            _snapshot(fold, entry)
        case WorkerStoppedReported():
            _stopped(fold, entry)
        case StopFailed():
            _stop_failed(fold, entry)
        case _:
            _run_entry(fold, entry)


RunEntry = (
    RunStartedReported
    | Asked
    | AskWithdrawn
    | RunFinishedReported
    | RunInterrupted
    | RunParkedReported
)


def _run_entry(fold: Fold, entry: RunEntry) -> None:
    run = live_run(fold, entry, entry.run_id, entry.attempt)
    if run is None:
        return
    match entry:
        case RunStartedReported():
            _started(fold, run, entry)
        case Asked():
            _asked(fold, run, entry)
        case AskWithdrawn():
            asks.withdrawn(fold.state, run, entry.ask_id)
        case RunFinishedReported():
            _finished(fold, run, entry)
        case RunInterrupted():
            detail = storable(entry.detail)
            retries.lose(fold.state, run, entry.reason, fold.policy, detail)
        case RunParkedReported():
            line.park(fold.state, run)
        case _:
            assert_never(entry)


def live_run(fold: Fold, entry: AnyEntry, run_id: UUID, attempt: int | None) -> RunRow | None:
    """The head, if the entry speaks for its present attempt on this worker; else refused."""
    run = fold.state.head
    if run is None or run.id != run_id:
        fold.refuse(entry, Code.ALREADY_FINISHED)
        return None
    if run.state not in LIVE or run.attempt != attempt or run.worker_id != fold.worker.id:
        fold.refuse(entry, Code.STALE_ATTEMPT)
        return None
    return run


def _started(fold: Fold, run: RunRow, entry: RunStartedReported) -> None:
    if run.state is RunState.CLAIMED:
        run.state = RunState.RUNNING
    run.started = True
    fold.worker.unsaved = True
    fold.state.resumes[run.id] = entry.resume.value
    fold.state.tell(
        RunStarted(agent=run.agent, resume=entry.resume, resume_reason=entry.resume_reason),
        run=run,
        project=True,
    )


def _asked(fold: Fold, run: RunRow, entry: Asked) -> None:
    if entry.ask_id in fold.taken:
        fold.refuse(entry, Code.CONFLICT)
        return
    fold.taken.add(entry.ask_id)
    asks.asked(fold.state, run, entry)


def _event(fold: Fold, entry: EventReported) -> None:
    run: RunRow | None = None
    if entry.run_id is not None:
        run = live_run(fold, entry, entry.run_id, entry.attempt)
        if run is None:
            return
    raw = bytes(entry.event)
    event = reported_events.read(raw)
    if event is None:
        fold.refuse(entry, Code.VALIDATION)
        return
    about = run
    if run is None and isinstance(event, WorkspaceProgress) and event.phase == "restore":
        about = _waiting(fold)
    told = NewEvent(
        event=raw,
        kind=kind_of(event),
        run_id=about.id if about else None,
        attempt=about.attempt if about else None,
        epoch=fold.worker.epoch,
        trace_id=entry.trace_id,
    )
    fold.state.events.append(told)
    if run is not None:
        fold.worker.unsaved = True
    if isinstance(event, TodoUpdate) and run is not None:
        fold.state.todos = (run.id, told, event.entries)


def _waiting(fold: Fold) -> RunRow | None:
    """The run that this worker was started for: who follows it sees how far the restore is."""
    run = fold.state.head
    if run is None or run.state is not RunState.CLAIMED or run.worker_id != fold.worker.id:
        return None
    return run


def _snapshot(fold: Fold, entry: SnapshotCommitted) -> None:
    state, draft = fold.state, entry.snapshot
    refused = reported_snapshots.refusal(entry, state=state, taken=fold.taken, gone=fold.gone)
    if refused is not None:
        fold.refuse(entry, refused)
        return
    fold.taken.add(draft.id)
    if draft.type is SnapshotKind.ACKNOWLEDGED:
        fold.committed.add(draft.id)
        state.session.head_snapshot_id = draft.id
        fold.worker.pinned = False
    fold.worker.unsaved, fold.worker.saved = False, True
    run = state.head if state.head and state.head.id == entry.run_id else None
    told = state.tell(
        WorkspaceSaved(
            snapshot_id=draft.id,
            type=draft.type.value,
            files=draft.files,
            bytes=draft.bytes,
            new_bytes=draft.new_bytes,
        ),
        run=run,
    )
    state.snapshots.append(
        NewSnapshot(draft, entry.run_id, entry.attempt, fold.worker.epoch, entry.seq, told)
    )


def _finished(fold: Fold, run: RunRow, entry: RunFinishedReported) -> None:
    state = fold.state
    named = entry.snapshot_id
    unsaved = entry.unsaved or (named is not None and named not in fold.committed)
    if unsaved:
        fold.worker.pinned = True
        state.tell(
            WorkspaceUnsaved(detail="the workspace is not saved yet; its worker is kept"),
            run=run,
            project=True,
        )
    if entry.usage is not None:
        state.usage.append((run.id, run.attempt, reported_events.booked(entry.usage)))
    verdict = tools.verdict(fold.said.get(run.id, ()), tools.open_questions(state.requests))
    blocked = verdict.blocked and entry.state in {"succeeded", "failed"}
    if not blocked and _may_retry(entry):
        detail = storable(entry.detail)
        retries.retry_or_fail(state, run, entry.reason, fold.policy, detail=detail)
        return
    end = RunEnd(
        reason=Reason.BLOCKED_BY_AGENT if blocked else entry.reason,
        detail=verdict.words or "" if blocked else storable(entry.detail),
        output=storable(entry.output),
        snapshot_id=None if unsaved else entry.snapshot_id,
        unsaved=unsaved,
        summary=verdict.words,
        asks=verdict.asks,
    )
    line.finish(state, run, RunState.BLOCKED if blocked else RunState(entry.state), end)


def _may_retry(entry: RunFinishedReported) -> bool:
    return entry.state == "failed" and entry.retryable and ADVICE[entry.reason].retry_helps


def _stopped(fold: Fold, entry: WorkerStoppedReported) -> None:
    state = fold.state
    if state.head is not None and state.head.worker_id == fold.worker.id:
        fold.refuse(entry, Code.SESSION_BUSY)
        return
    nothing = entry.snapshot_id is None
    forgets = nothing and fold.worker.pinned and state.session.head_snapshot_id is not None
    if forgets or (not nothing and entry.snapshot_id not in fold.committed):
        fold.refuse(entry, Code.HEAD_MOVED)
        _keep(fold, "the stop named a snapshot that was not committed")
        return
    worker_ends.release(state, fold.worker, entry.snapshot_id)


def _stop_failed(fold: Fold, entry: StopFailed) -> None:
    _keep(fold, entry.reason)


def _keep(fold: Fold, reason: str) -> None:
    """A failed save leaves the container where it is."""
    fold.worker.stopping = False
    fold.worker.state = WorkerState.IDLE
    fold.state.tell(AlertRaised(code="save_failed", detail=reason), project=True)
