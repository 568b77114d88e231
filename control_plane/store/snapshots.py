"""Snapshots: what a worker restores, side snapshots, and lists."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import select

from contracts.snapshots import Snapshot, SnapshotDraft, SnapshotKind, SnapshotPage
from control_plane.domain.access import WorkerCaller
from control_plane.domain.cursors import Window
from control_plane.store.database import Connection, Unit
from control_plane.store.pages import page
from sql.named import load as load_queries
from sql.tables import sessions, snapshots

QUERIES = load_queries("snapshots")

_snapshots = snapshots.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Something to restore."""

    id: UUID
    type: SnapshotKind
    manifest_key: str
    manifest_sha256: str
    epoch: int
    source_seq: int
    damaged: bool

    @property
    def order(self) -> tuple[int, int]:
        return self.epoch, self.source_seq


async def head(connection: Connection, session_id: UUID) -> Point | None:
    return _point(await connection.fetchrow(QUERIES["head"], session_id))


async def point(connection: Connection, session_id: UUID, snapshot_id: UUID) -> Point | None:
    """None: the session has no such snapshot."""
    return _point(await connection.fetchrow(QUERIES["point"], session_id, snapshot_id))


async def checkpoint(connection: Connection, *, session_id: UUID, worker_id: UUID) -> Point | None:
    return _point(await connection.fetchrow(QUERIES["checkpoint"], session_id, worker_id))


async def intact_before(connection: Connection, snapshot_id: UUID) -> Point | None:
    """The nearest one that led to it and is not known as damaged."""
    return _point(await connection.fetchrow(QUERIES["intact_before"], snapshot_id))


def _point(record: asyncpg.Record | None) -> Point | None:
    if record is None:
        return None
    fields = dict(record.items())
    fields["type"] = SnapshotKind(fields["type"])
    return Point(**fields)


async def insert_side(
    unit: Unit, worker: WorkerCaller, draft: SnapshotDraft, *, spool_key: str | None
) -> bool:
    """False: there is one with this id."""
    inserted = await unit.connection.fetchval(
        QUERIES["insert_side"],
        draft.id,
        worker.project_id,
        worker.session_id,
        worker.epoch,
        draft.parent,
        draft.manifest_key,
        draft.manifest_sha256,
        draft.files,
        draft.bytes,
        draft.new_bytes,
        spool_key,
        draft.added,
        draft.changed,
        draft.removed,
    )
    return inserted is not None


async def session_of(unit: Unit, snapshot_id: UUID) -> UUID | None:
    found: UUID | None = await unit.connection.fetchval(QUERIES["owner"], snapshot_id)
    return found


async def listed(connection: Connection, session_id: UUID, window: Window) -> SnapshotPage:
    statement = (
        select(
            _snapshots.id,
            _snapshots.session_id,
            _snapshots.type,
            _snapshots.parent,
            _snapshots.run_id,
            _snapshots.epoch,
            _snapshots.attempt,
            _snapshots.files,
            _snapshots.bytes,
            _snapshots.added,
            _snapshots.changed,
            _snapshots.removed,
            (sessions.c.head_snapshot_id == _snapshots.id).label("head"),
            _snapshots.damaged_at.is_not(None).label("damaged"),
            _snapshots.created_at,
        )
        .join(sessions, sessions.c.id == _snapshots.session_id)
        .where(_snapshots.session_id == session_id)
    )
    items, cursor = await page(
        connection,
        statement,
        key=_snapshots.id,
        scope=f"snapshots {session_id}",
        window=window,
        make=_snapshot,
    )
    return SnapshotPage(items=items, next_cursor=cursor)


def _snapshot(record: asyncpg.Record) -> Snapshot:
    fields = dict(record.items())
    fields["head"] = bool(fields["head"])
    return msgspec.convert(fields, Snapshot)
