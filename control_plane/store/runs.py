"""Reads runs as clients see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Label, and_, case, func, select
from sqlalchemy.sql.functions import Function

from contracts.events import TodoEntry, UsageUpdate
from contracts.reasons import ADVICE, Reason
from contracts.runs import TERMINAL, Run, RunOutput, RunPage, RunState
from contracts.sessions import Todos
from control_plane.domain.cursors import Window
from control_plane.domain.options import StoredOptions
from control_plane.store.database import Connection
from control_plane.store.pages import AnySelect, fetch, page
from sql.named import load as load_queries
from sql.tables import run_payloads, runs, sessions

QUERIES = load_queries("runs")

_runs, _payloads = runs.c, run_payloads.c
_decode_options = msgspec.json.Decoder(StoredOptions).decode
_decode_entries = msgspec.json.Decoder(list[TodoEntry]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    projects: Sequence[UUID]
    session_id: UUID | None = None
    task_id: UUID | None = None
    states: Sequence[RunState] = ()

    @property
    def scope(self) -> str:
        states = sorted(state.value for state in self.states)
        return f"runs {sorted(self.projects)} {self.session_id} {self.task_id} {states}"


async def get(connection: Connection, run_id: UUID) -> Run | None:
    records = await fetch(connection, _selected().where(_runs.id == run_id))
    return _run(records[0]) if records else None


async def listed(connection: Connection, wanted: RunFilter, window: Window) -> RunPage:
    statement = _selected().where(_runs.project_id.in_(wanted.projects))
    if wanted.session_id is not None:
        statement = statement.where(_runs.session_id == wanted.session_id)
    if wanted.task_id is not None:
        statement = statement.where(_runs.task_id == wanted.task_id)
    if wanted.states:
        statement = statement.where(_runs.state.in_([state.value for state in wanted.states]))
    items, cursor = await page(
        connection, statement, key=_runs.id, scope=wanted.scope, window=window, make=_run
    )
    return RunPage(items=items, next_cursor=cursor)


def _selected() -> AnySelect:
    """One row a run, with how many stand before it in its session."""
    now: Function[Any] = func.clock_timestamp()
    return (
        select(
            _runs.id,
            _runs.session_id,
            _runs.project_id,
            _runs.task_id,
            _runs.agent,
            _runs.state,
            _runs.attempt,
            _runs.failures,
            _runs.available_at,
            (_runs.available_at > now).label("delayed"),
            _runs.worker_id,
            _runs.cancel_requested_at,
            _runs.created_at,
            _runs.started_at,
            _runs.finished_at,
            _payloads.options,
            _payloads.reason,
            _payloads.detail,
            _payloads.unsaved,
            _payloads.snapshot_id,
            _payloads.resume,
            _payloads.retry_of,
            sessions.c.model.label("session_model"),
            _place(),
        )
        .join(run_payloads, _payloads.run_id == _runs.id)
        .join(
            sessions,
            and_(sessions.c.project_id == _runs.project_id, sessions.c.id == _runs.session_id),
        )
    )


def _place() -> Label[int]:
    """Counted only for what stands in the line: of a long session most runs are over."""
    before = runs.alias("before")
    over = [state.value for state in TERMINAL]
    standing = (
        select(func.count())
        .where(
            before.c.session_id == _runs.session_id,
            before.c.line_no < _runs.line_no,
            before.c.state.not_in(over),
        )
        .scalar_subquery()
    )
    return case((_runs.state.in_(over), 0), else_=standing).label("place")


def _run(record: asyncpg.Record) -> Run:
    state = RunState(record["state"])
    reason = Reason(record["reason"]) if record["reason"] else None
    retrying = state is RunState.QUEUED and record["delayed"]
    return Run(
        id=record["id"],
        session_id=record["session_id"],
        project_id=record["project_id"],
        task_id=record["task_id"],
        agent=record["agent"],
        model=_decode_options(record["options"]).model or record["session_model"],
        state=state,
        attempt=record["attempt"],
        failures=record["failures"],
        reason=reason,
        detail=record["detail"],
        remedy=ADVICE[reason].remedy if reason else "",
        next_retry_at=record["available_at"] if retrying else None,
        place=None if state in TERMINAL else record["place"],
        parked=state is RunState.WAITING and record["worker_id"] is None,
        cancel_requested=record["cancel_requested_at"] is not None,
        unsaved=record["unsaved"],
        snapshot_id=record["snapshot_id"],
        resume=record["resume"],
        retry_of=record["retry_of"],
        created_at=record["created_at"],
        started_at=record["started_at"],
        finished_at=record["finished_at"],
    )


async def output(connection: Connection, run_id: UUID) -> RunOutput | None:
    record = await connection.fetchrow(QUERIES["output"], run_id)
    if record is None:
        return None
    return RunOutput(run_id=run_id, state=RunState(record["state"]), text=record["output"])


async def state_of(connection: Connection, run_id: UUID) -> RunState | None:
    value = await connection.fetchval(QUERIES["state"], run_id)
    return RunState(value) if value else None


async def todos(connection: Connection, run_id: UUID) -> Todos:
    record = await connection.fetchrow(QUERIES["todos"], run_id)
    if record is None:
        return Todos(run_id=run_id, seq=None)
    return Todos(run_id=run_id, seq=record["seq"], entries=_decode_entries(record["entries"]))


async def usage(connection: Connection, run_id: UUID) -> list[UsageUpdate]:
    """One for each source and model, over all attempts."""
    records = await connection.fetch(QUERIES["usage"], run_id)
    return [UsageUpdate(**dict(record.items())) for record in records]
