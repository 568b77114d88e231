"""Appends what a transaction told to its sessions' logs, and queues what projects hear of."""

from collections.abc import Iterable
from typing import Any

from control_plane.domain.session_state import NewEvent, SessionState
from control_plane.store.database import Unit, columns, text
from control_plane.store.session_states import QUERIES


async def append(unit: Unit, states: list[SessionState]) -> None:
    """Takes the next `seq` of each stream; its row's lock is held, so commit order is seq order."""
    rows: list[tuple[Any, ...]] = []
    for state in states:
        for event in state.events:
            state.last_seq += 1
            event.seq = state.last_seq
            rows.append(
                (state.id, event.seq, state.session.project_id, state.id, event.run_id,
                 event.attempt, event.epoch, event.kind, _payload(event), event.trace_id)
            )  # fmt: skip
    if not rows:
        return
    await unit.connection.execute(QUERIES["append_events"], *columns(rows))
    moved = [(state.id, state.last_seq) for state in states if state.events]
    await unit.connection.execute(QUERIES["advance_streams"], *columns(moved))
    unit.wakes.streams.update(stream_id for stream_id, _ in moved)


async def tell_projects(unit: Unit, states: list[SessionState]) -> None:
    rows = [outbox for state in states for outbox in _outbox(state)]
    if rows:
        await unit.connection.execute(QUERIES["insert_outbox"], *columns(rows))
        unit.wakes.outbox = True


def _outbox(state: SessionState) -> Iterable[tuple[Any, ...]]:
    project = state.session.project_id
    for event in state.events:
        if event.project:
            kept = (event.run_id, event.attempt, "event", _payload(event), event.trace_id)
            yield (project, state.id, *kept)
    for change in state.tasks:
        yield (project, state.id, change.run_id, None, "task", text(change), state.trace_id)


def _payload(event: NewEvent) -> str:
    return event.event.decode() if isinstance(event.event, bytes) else text(event.event)
