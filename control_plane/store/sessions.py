"""Sessions as clients see them: read, made, renamed, archived."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Text, and_, cast, select

from contracts.checkouts import NO_SOURCE, WorkspaceSource
from contracts.runs import RunState
from contracts.sessions import ForkedFrom, Session, SessionPage, SessionState
from control_plane.domain.cursors import Window
from control_plane.store.database import Connection, Unit
from control_plane.store.pages import AnySelect, fetch, page
from sql.named import load as load_queries
from sql.tables import branches, runs, sessions, streams

QUERIES = load_queries("sessions")

_sessions = sessions.c

HEADS = [
    state.value for state in (RunState.QUEUED, RunState.CLAIMED, RunState.RUNNING, RunState.WAITING)
]

PARTS = ("session", "snapshot", "run")
"""Of what a session was forked from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    id: UUID
    project_id: UUID
    title: str
    agent: str
    app_id: UUID | None
    model: str | None
    mode: str | None
    provider_options: dict[str, Any]
    workspace: WorkspaceSource = NO_SOURCE


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionFilter:
    projects: Sequence[UUID]
    state: SessionState | None = None

    @property
    def scope(self) -> str:
        return f"sessions {sorted(self.projects)} {self.state}"


async def get(connection: Connection, session_id: UUID) -> Session | None:
    records = await fetch(connection, _selected().where(_sessions.id == session_id))
    return _session(records[0]) if records else None


async def listed(connection: Connection, wanted: SessionFilter, window: Window) -> SessionPage:
    statement = _selected().where(_sessions.project_id.in_(wanted.projects))
    if wanted.state is not None:
        statement = statement.where(_sessions.state == wanted.state.value)
    items, cursor = await page(
        connection, statement, key=_sessions.id, scope=wanted.scope, window=window, make=_session
    )
    return SessionPage(items=items, next_cursor=cursor)


async def insert_stream(unit: Unit, session_id: UUID, project_id: UUID) -> None:
    """Before the session's row."""
    await unit.connection.execute(QUERIES["insert_stream"], session_id, project_id)


async def insert(unit: Unit, new: NewSession, *, by: UUID | None) -> None:
    await insert_stream(unit, new.id, new.project_id)
    await unit.connection.execute(
        QUERIES["insert"],
        new.id,
        new.project_id,
        new.title,
        new.agent,
        new.app_id,
        new.model,
        new.mode,
        msgspec.json.encode(new.provider_options).decode(),
        by,
        msgspec.json.encode(new.workspace).decode(),
    )


async def line_is_empty(unit: Unit, session_id: UUID) -> bool:
    return await unit.connection.fetchval(QUERIES["line_is_empty"], session_id)


async def update(unit: Unit, session_id: UUID, *, title: str, state: SessionState) -> None:
    """Under the session's lock."""
    await unit.connection.execute(QUERIES["update"], session_id, title, state.value)


def _selected() -> AnySelect:
    origin = and_(branches.c.session_id == _sessions.id, branches.c.begins_at == 0)
    live = and_(runs.c.session_id == _sessions.id, runs.c.state.in_(HEADS))
    return (
        select(
            _sessions.id,
            _sessions.project_id,
            _sessions.title,
            _sessions.agent,
            _sessions.app_id,
            _sessions.model,
            _sessions.mode,
            _sessions.state,
            _sessions.head_snapshot_id,
            streams.c.last_seq,
            runs.c.id.label("live_run_id"),
            branches.c.from_session_id,
            branches.c.snapshot_id.label("from_snapshot_id"),
            branches.c.run_id.label("from_run_id"),
            cast(_sessions.workspace, Text).label("workspace"),
            _sessions.created_at,
            _sessions.updated_at,
        )
        .join(streams, streams.c.id == _sessions.id)
        .outerjoin(runs, live)
        .outerjoin(branches, origin)
    )


def _session(record: asyncpg.Record) -> Session:
    fields = dict(record.items())
    fields["workspace"] = msgspec.json.decode(fields["workspace"])
    session, snapshot, run = (fields.pop(f"from_{name}_id") for name in PARTS)
    if session is not None:
        fields["forked_from"] = ForkedFrom(session_id=session, snapshot_id=snapshot, run_id=run)
    return msgspec.convert(fields, Session)
