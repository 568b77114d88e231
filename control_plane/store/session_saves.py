"""Writes what a transaction changed of its locked sessions, in the order that constraints want.

Runs that leave the head first, then new runs, then who is promoted, then workers, and the log last:
by then every event of the transaction is known.
"""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import msgspec

from chassis.ids import new_id
from contracts.errors import Code
from contracts.events import RunQueued, kind_of
from contracts.runs import RunState
from control_plane.domain.session_state import (
    NewEvent,
    RequestRow,
    RunRow,
    SessionState,
    TaskChange,
    WorkerRow,
)
from control_plane.store.database import Unit
from control_plane.store.limits import kept
from control_plane.store.session_states import QUERIES, Loaded

ASK_DEADLINE_SECONDS = 24 * 3600.0
"""When a request is told as overdue; it stays answerable."""

_encode = msgspec.json.Encoder().encode


class LockBroken(Exception):
    """A guarded write met another state than the one loaded under the lock: a writer without it."""

    code = Code.INTERNAL


def _columns(rows: Sequence[tuple[Any, ...]], width: int) -> list[list[Any]]:
    return [[row[index] for row in rows] for index in range(width)]


def text(value: object) -> str:
    return _encode(value).decode()


async def save(unit: Unit, loaded: Loaded) -> None:
    """Raises LockBroken, which rolls the transaction back."""
    states = list(loaded.states.values())
    await _save_runs(unit, loaded, states)
    await _save_workers(unit, loaded, states)
    await _save_sessions(unit, loaded, states)
    await _save_requests(unit, loaded, states)
    await _save_commands(unit, states)
    await _save_snapshots(unit, states)
    await _append(unit, states)
    await _save_todos(unit, states)
    await _save_usage(unit, states)
    await _save_outbox(unit, states)


async def _save_runs(unit: Unit, loaded: Loaded, states: list[SessionState]) -> None:
    changed = [
        (loaded.runs[run.id], run)
        for run in _runs(states)
        if run.id in loaded.runs and loaded.runs[run.id] != run
    ]
    if changed:
        rows = [_run_change(old, run) for old, run in changed]
        done = await unit.connection.fetch(QUERIES["update_runs"], *_columns(rows, 13))
        if len(done) != len(changed):
            raise LockBroken(f"{len(changed) - len(done)} runs were changed meanwhile")
    ends = [(run_id, end) for state in states for run_id, end in state.ends.items()]
    if ends:
        rows = [
            (run_id, e.reason.value, e.detail, e.output, e.snapshot_id, e.unsaved)
            for run_id, e in ends
        ]
        await unit.connection.execute(QUERIES["end_runs"], *_columns(rows, 6))
    resumes = [item for state in states for item in state.resumes.items()]
    if resumes:
        await unit.connection.execute(QUERIES["resume_runs"], *_columns(resumes, 2))
    await _insert_follow_ups(unit, states)
    await _promote(unit, states)
    if any(run.state is RunState.QUEUED for run in _runs(states)):
        unit.wakes.queue = True


def _runs(states: Iterable[SessionState]) -> Iterable[RunRow]:
    for state in states:
        yield from state.closed
        if state.head is not None and state.head not in state.closed:
            yield state.head


def _run_change(old: RunRow, run: RunRow) -> tuple[Any, ...]:
    return (
        run.id,
        old.state.value,
        old.attempt,
        run.state.value,
        run.attempt,
        run.failures,
        run.losses,
        run.claim_id,
        run.worker_id,
        run.delay,
        run.cancel_requested,
        run.cancel_in,
        run.started,
    )


async def _insert_follow_ups(unit: Unit, states: list[SessionState]) -> None:
    """Before the log, which foreign keys do not bind to its runs; after whoever left the head."""
    ups = [up for state in states for up in state.follow_ups]
    if not ups:
        return
    runs = [
        (up.run.id, up.run.project_id, up.run.session_id, up.run.task_id, up.run.agent,
         up.run.state.value, up.run.line_no, up.run.max_failures, up.asked_by)
        for up in ups
    ]  # fmt: skip
    await unit.connection.execute(QUERIES["insert_follow_ups"], *_columns(runs, 9))
    asked = [(up.run.id, up.prompt, up.traceparent, up.by, up.asked_by) for up in ups]
    await unit.connection.execute(QUERIES["insert_follow_up_payloads"], *_columns(asked, 5))


async def _promote(unit: Unit, states: list[SessionState]) -> None:
    """Whoever stands next becomes the head of a line that has none."""
    headless = {state.id: state for state in states if state.head is None}
    if not headless:
        return
    for record in await unit.connection.fetch(QUERIES["promote"], list(headless)):
        state = headless[record["session_id"]]
        event = RunQueued(agent=record["agent"])
        state.events.append(
            NewEvent(
                event=event,
                kind=kind_of(event),
                run_id=record["id"],
                attempt=record["attempt"],
                epoch=None,
                trace_id=state.trace_id,
                project=True,
            )
        )
        if record["task_id"] is not None:
            state.tasks.append(TaskChange(record["task_id"], record["id"], RunState.QUEUED))
        unit.wakes.queue = True


async def insert_run(
    unit: Unit, run: RunRow, *, priority: int, prompt: str, options: str, extra: "RunExtra"
) -> None:
    """Before `save`: the run of `line.enqueue` with what it was asked."""
    await unit.connection.execute(
        QUERIES["insert_runs"],
        *_columns(
            [
                (
                    run.id,
                    run.project_id,
                    run.session_id,
                    run.task_id,
                    run.agent,
                    run.state.value,
                    run.line_no,
                    priority,
                    run.max_failures,
                    run.user_id,
                )
            ],
            10,
        ),
    )
    await unit.connection.execute(
        "INSERT INTO run_payloads"
        " (run_id, project_id, prompt, options, retry_of, traceparent, created_by)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        run.id,
        run.project_id,
        prompt,
        options,
        extra.retry_of,
        extra.traceparent,
        extra.created_by,
    )


class RunExtra(msgspec.Struct, frozen=True, kw_only=True):
    retry_of: UUID | None
    traceparent: str
    created_by: UUID | None


async def _save_workers(unit: Unit, loaded: Loaded, states: list[SessionState]) -> None:
    workers = [w for s in states for w in (s.worker, s.former_worker) if w is not None]
    fresh = [w for w in workers if w.id not in loaded.workers]
    if fresh:
        rows = [
            (w.id, w.project_id, w.session_id, w.epoch, w.manager_id, w.state.value, w.token_hash,
             kept(w.limits), w.lease_in, w.user_id)
            for w in fresh
        ]  # fmt: skip
        await unit.connection.execute(QUERIES["insert_workers"], *_columns(rows, 10))
    changed = [w for w in workers if w.id in loaded.workers and loaded.workers[w.id] != w]
    if changed:
        rows = [_worker_change(w) for w in changed]
        done = await unit.connection.fetch(QUERIES["update_workers"], *_columns(rows, 12))
        if len(done) != len(changed):
            raise LockBroken("a worker ended meanwhile")
        if any(w.released or w.superseded for w in changed):
            unit.wakes.queue = True  # whoever waits for a limit of workers may have its turn now


def _worker_change(worker: WorkerRow) -> tuple[Any, ...]:
    return (
        worker.id,
        worker.state.value,
        worker.last_source_seq,
        worker.pinned,
        worker.stopping,
        worker.released,
        worker.superseded,
        worker.remove_requested,
        worker.reason,
        worker.steps_told,
        worker.unsaved,
        worker.saved,
    )


async def _save_sessions(unit: Unit, loaded: Loaded, states: list[SessionState]) -> None:
    rows = [
        (s.id, s.session.epoch, s.session.head_snapshot_id)
        for s in states
        if loaded.sessions[s.id] != s.session
    ]
    if rows:
        await unit.connection.execute(QUERIES["update_sessions"], *_columns(rows, 3))


async def _save_requests(unit: Unit, loaded: Loaded, states: list[SessionState]) -> None:
    changed = [r for s in states for r in s.requests if loaded.requests.get(r.id) != r]
    if changed:
        rows = [_request(r) for r in changed]
        done = await unit.connection.fetch(
            QUERIES["upsert_requests"], *_columns(rows, 22), ASK_DEADLINE_SECONDS
        )
        if len(done) != len(changed):
            raise LockBroken("a request has the id of another run's")


def _request(request: RequestRow) -> tuple[Any, ...]:
    return (
        request.id,
        request.project_id,
        request.session_id,
        request.run_id,
        request.attempt,
        request.ask_id,
        request.type,
        request.state.value,
        request.title,
        request.tool,
        text(request.input),
        request.input_hash,
        text(request.options),
        text(request.form),
        request.option_id,
        request.option_kind,
        request.text,
        None if request.content is None else text(request.content),
        request.decided_by,
        request.delivered_epoch,
        request.delivered_attempt,
        request.answer_to.value,
    )


async def _save_commands(unit: Unit, states: list[SessionState]) -> None:
    rows: list[tuple[Any, ...]] = []
    for state in states:
        for worker_id, command in state.commands:
            kind = str(command.__struct_config__.tag)
            rows.append(
                (command.id, state.session.project_id, state.id, worker_id, kind, text(command))
            )
            unit.wakes.managers.update(_managers(state, worker_id))
    if rows:
        await unit.connection.execute(QUERIES["insert_commands"], *_columns(rows, 6))


def _managers(state: SessionState, worker_id: UUID) -> list[UUID]:
    workers = (state.worker, state.former_worker)
    return [w.manager_id for w in workers if w is not None and w.id == worker_id]


async def _save_snapshots(unit: Unit, states: list[SessionState]) -> None:
    rows = [
        (new.draft.id, s.session.project_id, s.id, new.run_id, new.attempt, new.epoch,
         new.source_seq, new.draft.type.value, new.draft.parent, new.draft.manifest_key,
         new.draft.manifest_sha256, new.draft.files, new.draft.bytes, new.draft.new_bytes)
        for s in states
        for new in s.snapshots
    ]  # fmt: skip
    if rows:
        await unit.connection.execute(QUERIES["insert_snapshots"], *_columns(rows, 14))


def payload(event: NewEvent) -> str:
    return event.event.decode() if isinstance(event.event, bytes) else text(event.event)


async def _append(unit: Unit, states: list[SessionState]) -> None:
    """Takes the next `seq` of each stream; its row's lock is held, so commit order is seq order."""
    rows: list[tuple[Any, ...]] = []
    for state in states:
        for event in state.events:
            state.last_seq += 1
            event.seq = state.last_seq
            rows.append(
                (state.id, event.seq, state.session.project_id, state.id, event.run_id,
                 event.attempt, event.epoch, event.kind, payload(event), event.trace_id)
            )  # fmt: skip
    if not rows:
        return
    await unit.connection.execute(QUERIES["append_events"], *_columns(rows, 10))
    moved = [(state.id, state.last_seq) for state in states if state.events]
    await unit.connection.execute(QUERIES["advance_streams"], *_columns(moved, 2))
    unit.wakes.streams.update(stream_id for stream_id, _ in moved)


async def _save_todos(unit: Unit, states: list[SessionState]) -> None:
    rows = [
        (s.todos[0], s.session.project_id, s.id, s.todos[1].seq, text(s.todos[2]))
        for s in states
        if s.todos is not None
    ]
    if rows:
        await unit.connection.execute(QUERIES["upsert_todos"], *_columns(rows, 5))


async def _save_usage(unit: Unit, states: list[SessionState]) -> None:
    rows = [
        (new_id(), s.session.project_id, s.id, run_id, attempt, u.source, u.model, u.input_tokens,
         u.output_tokens, u.cached_tokens, u.thought_tokens, u.cost_usd)
        for s in states
        for run_id, attempt, u in s.usage
    ]  # fmt: skip
    if rows:
        await unit.connection.execute(QUERIES["upsert_usage"], *_columns(rows, 12))


async def _save_outbox(unit: Unit, states: list[SessionState]) -> None:
    rows = [outbox for state in states for outbox in _outbox(state)]
    if rows:
        await unit.connection.execute(QUERIES["insert_outbox"], *_columns(rows, 7))
        unit.wakes.outbox = True


def _outbox(state: SessionState) -> Iterable[tuple[Any, ...]]:
    project = state.session.project_id
    for event in state.events:
        if event.project:
            kept = (event.run_id, event.attempt, "event", payload(event), event.trace_id)
            yield (project, state.id, *kept)
    for change in state.tasks:
        yield (project, state.id, change.run_id, None, "task", text(change), state.trace_id)
