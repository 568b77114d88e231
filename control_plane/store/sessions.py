"""Sessions as clients see them: read, made, renamed, archived."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import and_, select

from contracts.runs import RunState
from contracts.sessions import Session, SessionPage, SessionState
from control_plane.domain.cursors import Window
from control_plane.store.database import Connection, Unit
from control_plane.store.pages import AnySelect, fetch, page
from sql.named import load as load_queries
from sql.tables import runs, sessions, streams

QUERIES = load_queries("sessions")

_sessions = sessions.c

HEADS = [
    state.value for state in (RunState.QUEUED, RunState.CLAIMED, RunState.RUNNING, RunState.WAITING)
]


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


async def insert(unit: Unit, new: NewSession, *, by: UUID | None) -> None:
    await unit.connection.execute(QUERIES["insert_stream"], new.id, new.project_id)
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
    )


async def line_is_empty(unit: Unit, session_id: UUID) -> bool:
    return await unit.connection.fetchval(QUERIES["line_is_empty"], session_id)


async def update(unit: Unit, session_id: UUID, *, title: str, state: SessionState) -> None:
    """Under the session's lock."""
    await unit.connection.execute(QUERIES["update"], session_id, title, state.value)


def _selected() -> AnySelect:
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
            _sessions.created_at,
            _sessions.updated_at,
        )
        .join(streams, streams.c.id == _sessions.id)
        .outerjoin(runs, live)
    )


def _session(record: asyncpg.Record) -> Session:
    return msgspec.convert(dict(record.items()), Session)
