"""Sessions that leave as archives, and those that come from one."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg

from contracts.archives import ArchivedRun, ArchivedSession
from control_plane.domain.branches import Stretch
from control_plane.domain.transcripts import CONVERSATION
from control_plane.domain.words import storable
from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("archives")


@dataclass(frozen=True, slots=True)
class NewRun:
    id: UUID
    line_no: int
    run: ArchivedRun


@dataclass(frozen=True, slots=True)
class NewLogEvent:
    seq: int
    run_id: UUID
    attempt: int
    kind: str
    payload: str
    at: datetime.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSnapshotRow:
    id: UUID
    project_id: UUID
    session_id: UUID
    manifest_key: str
    manifest_sha256: str
    files: int
    bytes: int
    new_bytes: int
    items: int
    seq: int


async def sizes(connection: Connection, stretch: Stretch) -> list[tuple[int, int]]:
    """Places in the line, and bytes of conversation there; the newest first."""
    found = await connection.fetch(
        QUERIES["sizes"], stretch.session_id, stretch.first, stretch.last, list(CONVERSATION)
    )
    return [(one["line_no"], one["size"]) for one in found]


async def runs(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, asyncpg.Record]:
    return {one["id"]: one for one in await connection.fetch(QUERIES["runs"], list(ids))}


async def insert_session(
    unit: Unit, session: ArchivedSession, *, session_id: UUID, project_id: UUID, by: UUID
) -> None:
    """Behind its stream."""
    await unit.connection.execute(
        QUERIES["insert_session"],
        session_id,
        project_id,
        storable(session.title),
        session.agent,
        session.model and storable(session.model),
        session.mode and storable(session.mode),
        by,
    )


async def insert_runs(
    unit: Unit, new: Sequence[NewRun], *, session_id: UUID, project_id: UUID
) -> None:
    ids = [one.id for one in new]
    await unit.connection.execute(
        QUERIES["insert_runs"],
        project_id,
        session_id,
        ids,
        [storable(one.run.agent) for one in new],
        [one.run.state for one in new],
        [one.line_no for one in new],
        [one.run.created_at for one in new],
        [one.run.started_at or one.run.created_at for one in new],
        [one.run.finished_at for one in new],
    )
    await unit.connection.execute(
        QUERIES["insert_payloads"],
        project_id,
        ids,
        [storable(one.run.prompt) for one in new],
        [storable(one.run.output) for one in new],
        [one.run.reason for one in new],
        [storable(one.run.detail) for one in new],
    )


async def insert_events(
    unit: Unit, new: Sequence[NewLogEvent], *, session_id: UUID, project_id: UUID
) -> None:
    columns: list[list[Any]] = [
        [one.seq for one in new],
        [one.run_id for one in new],
        [one.attempt for one in new],
        [one.kind for one in new],
        [one.payload for one in new],
        [one.at for one in new],
    ]
    await unit.connection.execute(QUERIES["insert_events"], session_id, project_id, *columns)


async def advance(unit: Unit, session_id: UUID, seq: int) -> None:
    """Of a stream that nobody else knows of yet."""
    await unit.connection.execute(QUERIES["advance"], session_id, seq)


async def insert_snapshot(unit: Unit, new: NewSnapshotRow) -> None:
    await unit.connection.execute(
        QUERIES["insert_snapshot"],
        new.id,
        new.project_id,
        new.session_id,
        new.manifest_key,
        new.manifest_sha256,
        new.files,
        new.bytes,
        new.new_bytes,
        new.items,
        new.seq,
    )
