"""Reads the log, and appends to a project's stream under its lock."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from contracts.events import RawLogEntry
from control_plane.store.database import Connection
from sql.named import load as load_queries

QUERIES = load_queries("events")
COLUMNS = 9
"""Those of `StoredEvent`, which every query gives first and in its order."""


@dataclass(frozen=True, slots=True)
class StreamBounds:
    """A stream as a reader finds it: `first_seq` is the oldest kept, `last_seq` the newest."""

    id: UUID
    project_id: UUID
    first_seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class RunBounds(StreamBounds):
    """The stream of a run's session."""

    line_no: int
    """The run's first event."""
    over: bool
    """Nothing of the run stands behind `last_seq`, nor will."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    seq: int
    session_id: UUID | None
    run_id: UUID | None
    attempt: int | None
    epoch: int | None
    kind: str
    payload: str | None
    """JSON, as it was written; None where it was not asked for."""
    trace_id: str
    at: datetime.datetime

    def entry(self, stream_id: UUID) -> RawLogEntry:
        body = f'{{"kind":"{self.kind}"}}' if self.payload is None else self.payload
        return RawLogEntry(
            id=f"{stream_id.hex}.{self.seq}",
            seq=self.seq,
            session_id=self.session_id,
            run_id=self.run_id,
            attempt=self.attempt,
            epoch=self.epoch,
            at=self.at,
            trace_id=self.trace_id,
            event=msgspec.Raw(body.encode()),
        )


@dataclass(frozen=True, slots=True)
class NewProjectEvent:
    project_id: UUID
    seq: int
    session_id: UUID | None
    run_id: UUID | None
    attempt: int | None
    kind: str
    payload: str
    trace_id: str
    at: datetime.datetime


async def stream(connection: Connection, stream_id: UUID) -> StreamBounds | None:
    found = await connection.fetchrow(QUERIES["stream"], stream_id)
    if found is None:
        return None
    return StreamBounds(stream_id, found["project_id"], found["first_seq"], found["last_seq"])


async def last_seqs(connection: Connection, stream_ids: Sequence[UUID]) -> dict[UUID, int]:
    found = await connection.fetch(QUERIES["last_seqs"], stream_ids)
    return {record["id"]: record["last_seq"] for record in found}


async def run_stream(connection: Connection, run_id: UUID) -> RunBounds | None:
    found = await connection.fetchrow(QUERIES["run_stream"], run_id)
    if found is None:
        return None
    return RunBounds(
        found["stream_id"],
        found["project_id"],
        found["first_seq"],
        found["last_seq"],
        found["line_no"],
        found["over"],
    )


async def page(
    connection: Connection,
    stream_id: UUID,
    after: int,
    *,
    run_id: UUID | None = None,
    rows: int,
    size: int,
) -> tuple[list[StoredEvent], bool]:
    """What follows `after`, at most `rows` and about `size` bytes, and whether that is all."""
    if run_id is None:
        found = await connection.fetch(QUERIES["page_of_stream"], stream_id, after, rows, size)
    else:
        found = await connection.fetch(QUERIES["page_of_run"], stream_id, after, rows, size, run_id)
    full = bool(found) and (len(found) == rows or found[-1]["size_so_far"] >= size)
    return [stored(record) for record in found], not full


async def entries(
    connection: Connection,
    stream_id: UUID,
    after: int,
    *,
    run_id: UUID | None,
    kinds: Sequence[str] | None,
    limit: int,
    payloads: bool = True,
) -> list[StoredEvent]:
    """For a page of the API. `kinds` None means all."""
    arguments: list[Any] = [stream_id, after, kinds, limit, payloads]
    if run_id is None:
        found = await connection.fetch(QUERIES["list_of_stream"], *arguments)
    else:
        found = await connection.fetch(QUERIES["list_of_run"], *arguments, run_id)
    return [stored(record) for record in found]


async def before_last(
    connection: Connection, stream_id: UUID, count: int, *, run_id: UUID | None
) -> int | None:
    """The position that the last `count` events follow; None where there are none."""
    if run_id is None:
        return await connection.fetchval(QUERIES["before_last_of_stream"], stream_id, count)
    return await connection.fetchval(QUERIES["before_last_of_run"], stream_id, count, run_id)


async def append_to_project(connection: Connection, events: Sequence[NewProjectEvent]) -> None:
    """The caller holds the streams' locks and advances their `last_seq`."""
    columns = [
        [e.project_id for e in events],
        [e.seq for e in events],
        [e.session_id for e in events],
        [e.run_id for e in events],
        [e.attempt for e in events],
        [e.kind for e in events],
        [e.payload for e in events],
        [e.trace_id for e in events],
        [e.at for e in events],
    ]
    await connection.execute(QUERIES["append_to_project"], *columns)


def stored(record: asyncpg.Record) -> StoredEvent:
    return StoredEvent(*record[:COLUMNS])
