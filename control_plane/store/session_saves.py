"""Writes what a transaction changed of its locked sessions, in the order that constraints want.

Runs that leave the head first, then new runs, then who is promoted, then workers, and the log last:
by then every event of the transaction is known. Snapshots name the event that told of them.
"""

from typing import Any
from uuid import UUID

from chassis.ids import new_id
from control_plane.domain.packs import naming_of
from control_plane.domain.session_state import RequestRow, SessionState, WorkerRow
from control_plane.store import log_saves, packs, run_saves
from control_plane.store.database import Unit, columns, text
from control_plane.store.limits import kept
from control_plane.store.session_states import QUERIES, Loaded, LockBroken

ASK_DEADLINE_SECONDS = 24 * 3600.0
"""When a request is told as overdue; it stays answerable."""


async def save(unit: Unit, loaded: Loaded) -> None:
    """Raises LockBroken, which rolls the transaction back."""
    states = list(loaded.states.values())
    await run_saves.save(unit, loaded, states)
    await _save_workers(unit, loaded, states)
    await _save_sessions(unit, loaded, states)
    await _save_requests(unit, loaded, states)
    await _save_commands(unit, states)
    await log_saves.append(unit, states)
    await _save_snapshots(unit, states)
    await _save_todos(unit, states)
    await _save_usage(unit, states)
    await log_saves.tell_projects(unit, states)


async def _save_workers(unit: Unit, loaded: Loaded, states: list[SessionState]) -> None:
    workers = [w for s in states for w in (s.worker, s.former_worker) if w is not None]
    fresh = [w for w in workers if w.id not in loaded.workers]
    if fresh:
        rows = [
            (w.id, w.project_id, w.session_id, w.epoch, w.manager_id, w.state.value, w.token_hash,
             kept(w.limits), w.lease_in, w.user_id)
            for w in fresh
        ]  # fmt: skip
        await unit.connection.execute(QUERIES["insert_workers"], *columns(rows))
    changed = [w for w in workers if w.id in loaded.workers and loaded.workers[w.id] != w]
    if changed:
        rows = [_worker_change(w) for w in changed]
        done = await unit.connection.fetch(QUERIES["update_workers"], *columns(rows))
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
        await unit.connection.execute(QUERIES["update_sessions"], *columns(rows))


async def _save_requests(unit: Unit, loaded: Loaded, states: list[SessionState]) -> None:
    changed = [r for s in states for r in s.requests if loaded.requests.get(r.id) != r]
    if changed:
        rows = [_request(r) for r in changed]
        done = await unit.connection.fetch(
            QUERIES["upsert_requests"], *columns(rows), ASK_DEADLINE_SECONDS
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
        await unit.connection.execute(QUERIES["insert_commands"], *columns(rows))


def _managers(state: SessionState, worker_id: UUID) -> list[UUID]:
    workers = (state.worker, state.former_worker)
    return [w.manager_id for w in workers if w is not None and w.id == worker_id]


async def _save_snapshots(unit: Unit, states: list[SessionState]) -> None:
    rows = [
        (new.draft.id, s.session.project_id, s.id, new.run_id, new.attempt, new.epoch,
         new.source_seq, new.draft.type.value, new.draft.parent, new.draft.manifest_key,
         new.draft.manifest_sha256, new.draft.files, new.draft.bytes, new.draft.new_bytes,
         new.draft.added, new.draft.changed, new.draft.removed, new.told.seq)
        for s in states
        for new in s.snapshots
    ]  # fmt: skip
    if rows:
        await unit.connection.execute(QUERIES["insert_snapshots"], *columns(rows))
        # their rows are locked, and none of them is gone: `services.reports`
        namings = [
            naming_of(new.draft, project_id=s.session.project_id, session_id=s.id)
            for s in states
            for new in s.snapshots
        ]
        await packs.name(unit, namings)


async def _save_todos(unit: Unit, states: list[SessionState]) -> None:
    rows = [
        (s.todos[0], s.session.project_id, s.id, s.todos[1].seq, text(s.todos[2]))
        for s in states
        if s.todos is not None
    ]
    if rows:
        await unit.connection.execute(QUERIES["upsert_todos"], *columns(rows))


async def _save_usage(unit: Unit, states: list[SessionState]) -> None:
    rows = [
        (new_id(), s.session.project_id, s.id, run_id, attempt, u.source, u.model, u.input_tokens,
         u.output_tokens, u.cached_tokens, u.thought_tokens, u.cost_usd)
        for s in states
        for run_id, attempt, u in s.usage
    ]  # fmt: skip
    if rows:
        await unit.connection.execute(QUERIES["upsert_usage"], *columns(rows))
