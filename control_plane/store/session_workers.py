"""Session workers as clients see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import and_, func, select
from sqlalchemy.sql.functions import Function

from contracts.session_workers import SessionWorker, SessionWorkerPage, SessionWorkerSettings
from contracts.workers import WorkerLimits
from control_plane.domain.cursors import Window
from control_plane.domain.limits import effective
from control_plane.store.database import Connection, Unit
from control_plane.store.limits import kept, read
from control_plane.store.pages import page
from sql.named import load as load_queries
from sql.tables import session_workers

QUERIES = load_queries("session_workers")

_workers = session_workers.c


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerFilter:
    projects: Sequence[UUID]
    session_id: UUID | None = None

    @property
    def scope(self) -> str:
        return f"session workers {sorted(self.projects)} {self.session_id}"


async def of_session(connection: Connection, session_id: UUID) -> SessionWorker | None:
    record = await connection.fetchrow(QUERIES["of_session"], session_id)
    return None if record is None else _worker(record)


async def settings(connection: Connection, session_id: UUID) -> SessionWorkerSettings | None:
    record = await connection.fetchrow(QUERIES["settings"], session_id)
    if record is None:
        return None
    own = read(record["own"])
    limits = effective(own, read(record["apps"]))
    made_with = record["made_with"]
    same = made_with is None or read(made_with) == limits
    return SessionWorkerSettings(
        session_id=record["session_id"],
        limits=limits,
        own=own,
        keep_warm=record["keep_warm"],
        applies="now" if same else "next_worker",
    )


async def set_own(unit: Unit, session_id: UUID, own: WorkerLimits, *, keep_warm: bool) -> None:
    await unit.connection.execute(QUERIES["set"], session_id, kept(own), keep_warm)


async def listed(connection: Connection, wanted: WorkerFilter, window: Window) -> SessionWorkerPage:
    """Those that were not removed."""
    ended: Function[object] = func.coalesce(_workers.superseded_at, _workers.released_at)
    current = and_(_workers.released_at.is_(None), _workers.superseded_at.is_(None))
    statement = select(
        _workers.id,
        _workers.session_id,
        _workers.project_id,
        _workers.epoch,
        _workers.manager_id,
        _workers.state,
        current.label("current"),
        _workers.pinned,
        _workers.reason,
        _workers.image,
        _workers.disk,
        _workers.created_at,
        _workers.lease_until,
        ended.label("ended_at"),
    ).where(_workers.project_id.in_(wanted.projects), _workers.removed_at.is_(None))
    if wanted.session_id is not None:
        statement = statement.where(_workers.session_id == wanted.session_id)
    items, cursor = await page(
        connection, statement, key=_workers.id, scope=wanted.scope, window=window, make=_worker
    )
    return SessionWorkerPage(items=items, next_cursor=cursor)


def _worker(record: asyncpg.Record) -> SessionWorker:
    return msgspec.convert(dict(record.items()), SessionWorker)
