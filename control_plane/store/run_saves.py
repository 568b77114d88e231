"""Writes what a transaction changed of runs: who left the head, then new ones, then who follows."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from contracts.events import RunQueued, kind_of
from contracts.runs import RunOptions, RunState
from control_plane.domain.options import StoredOptions
from control_plane.domain.session_state import NewEvent, RunRow, SessionState, TaskChange
from control_plane.store.database import Unit, columns, text
from control_plane.store.session_states import QUERIES, Loaded, LockBroken


async def save(unit: Unit, loaded: Loaded, states: list[SessionState]) -> None:
    changed = [
        (loaded.runs[run.id], run)
        for run in _runs(states)
        if run.id in loaded.runs and loaded.runs[run.id] != run
    ]
    if changed:
        rows = [_run_change(old, run) for old, run in changed]
        done = await unit.connection.fetch(QUERIES["update_runs"], *columns(rows))
        if len(done) != len(changed):
            raise LockBroken(f"{len(changed) - len(done)} runs were changed meanwhile")
    ends = [(run_id, end) for state in states for run_id, end in state.ends.items()]
    if ends:
        rows = [
            (run_id, e.reason.value, e.detail, e.output, e.snapshot_id, e.unsaved)
            for run_id, e in ends
        ]
        await unit.connection.execute(QUERIES["end_runs"], *columns(rows))
    resumes = [item for state in states for item in state.resumes.items()]
    if resumes:
        await unit.connection.execute(QUERIES["resume_runs"], *columns(resumes))
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
    await unit.connection.execute(QUERIES["insert_follow_ups"], *columns(runs))
    asked = [(up.run.id, up.prompt, up.traceparent, up.by, up.asked_by) for up in ups]
    await unit.connection.execute(QUERIES["insert_follow_up_payloads"], *columns(asked))


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
    unit: Unit,
    run: RunRow,
    *,
    prompt: str,
    options: RunOptions | StoredOptions,
    retry_of: UUID | None,
    traceparent: str,
) -> None:
    """Before `save`: the run of `line.enqueue` with what it was asked."""
    row = (
        run.id, run.project_id, run.session_id, run.task_id, run.agent, run.state.value,
        run.line_no, options.priority, run.max_failures, run.user_id,
    )  # fmt: skip
    await unit.connection.execute(QUERIES["insert_runs"], *columns([row]))
    await unit.connection.execute(
        QUERIES["insert_run_payload"],
        run.id,
        run.project_id,
        prompt,
        text(options),
        retry_of,
        traceparent,
        run.user_id,
    )
