"""Loads sessions under their streams' locks; `session_saves` writes what a transaction changed.

Lock order: streams (ascending id, or SKIP LOCKED) → workers (ascending id). Guards are checked in
statements after the lock. Every statement works on arrays: many sessions share one round trip.
"""

import dataclasses
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec

from contracts.checkouts import WorkspaceSource
from contracts.events import AskOption
from contracts.human_loop import RequestState
from contracts.runs import RunState
from contracts.sessions import SessionState as SessionLife
from contracts.workers import WorkerState
from control_plane.domain.session_state import (
    AnswerTo,
    RequestRow,
    RunRow,
    SessionRow,
    SessionState,
    WorkerRow,
)
from control_plane.store.database import Connection, Unit, row
from sql.named import load as load_queries

QUERIES = load_queries("session_states")
OPTIONS = list[AskOption]


class LockBroken(Exception):
    """A guarded write met another state than the one loaded under the lock: a writer without it."""


@dataclasses.dataclass(slots=True)
class Loaded:
    """Sessions as they are, and copies to tell what changed."""

    states: dict[UUID, SessionState]
    runs: dict[UUID, RunRow]
    workers: dict[UUID, WorkerRow]
    requests: dict[UUID, RequestRow]
    sessions: dict[UUID, SessionRow]


async def lock(unit: Unit, session_ids: Sequence[UUID]) -> Loaded:
    """Waits for the streams in ascending order. Unknown ids are left out."""
    records = await unit.connection.fetch(QUERIES["lock_streams"], sorted(set(session_ids)))
    return await _load(unit.connection, records)


async def lock_free(unit: Unit, session_ids: Sequence[UUID], limit: int) -> Loaded:
    """Takes up to `limit` streams that nobody holds, in the order given; so are the states."""
    records = await unit.connection.fetch(QUERIES["lock_free_streams"], list(session_ids), limit)
    return await _load(unit.connection, records)


async def _load(connection: Connection, streams: list[asyncpg.Record]) -> Loaded:
    ids = [stream["id"] for stream in streams]
    loaded = Loaded({}, {}, {}, {}, {})
    if not ids:
        return loaded
    workers = await connection.fetch(QUERIES["workers"], ids)
    heads = await connection.fetch(QUERIES["heads"], ids)
    sessions = await connection.fetch(QUERIES["sessions"], ids)
    last_seqs = {stream["id"]: stream["last_seq"] for stream in streams}
    places = {session_id: place for place, session_id in enumerate(ids)}
    # in the streams' order: where there is room for some of them only, it goes to the first
    for record in sorted(sessions, key=lambda one: places[one["id"]]):
        session = _session(record)
        loaded.sessions[session.id] = dataclasses.replace(session)
        loaded.states[session.id] = SessionState(session, last_seqs[session.id], None, None, [])
    for record in heads:
        run = run_row(record)
        loaded.runs[run.id] = dataclasses.replace(run)
        loaded.states[run.session_id].head = run
    for record in workers:
        worker = _worker(record)
        loaded.workers[worker.id] = dataclasses.replace(worker)
        loaded.states[worker.session_id].worker = worker
    await _load_requests(connection, loaded)
    return loaded


async def _load_requests(connection: Connection, loaded: Loaded) -> None:
    run_ids = [state.head.id for state in loaded.states.values() if state.head is not None]
    if not run_ids:
        return
    for record in await connection.fetch(QUERIES["requests"], run_ids):
        request = request_row(record)
        loaded.requests[request.id] = dataclasses.replace(request)
        loaded.states[request.session_id].requests.append(request)


async def load_run(unit: Unit, loaded: Loaded, run_id: UUID) -> RunRow | None:
    """A run of a locked session: the head as it is loaded, or another one."""
    for state in loaded.states.values():
        if state.head is not None and state.head.id == run_id:
            return state.head
    record = await unit.connection.fetchrow(QUERIES["run"], run_id)
    if record is None:
        return None
    run = run_row(record)
    loaded.runs[run.id] = dataclasses.replace(run)
    return run


async def load_request(unit: Unit, loaded: Loaded, request_id: UUID) -> RequestRow | None:
    """A request of a locked session: as it is loaded, or one that outlived its run."""
    for state in loaded.states.values():
        for request in state.requests:
            if request.id == request_id:
                return request
    record = await unit.connection.fetchrow(QUERIES["request"], request_id)
    if record is None or record["session_id"] not in loaded.states:
        return None
    request = request_row(record)
    loaded.requests[request.id] = dataclasses.replace(request)
    loaded.states[request.session_id].requests.append(request)
    return request


async def taken(unit: Unit, ids: Sequence[UUID]) -> set[UUID]:
    """Those of `ids` that a snapshot or a request of any session has already."""
    if not ids:
        return set()
    return {record["id"] for record in await unit.connection.fetch(QUERIES["taken"], list(ids))}


def _session(record: asyncpg.Record) -> SessionRow:
    fields = row(record)
    fields["life"] = SessionLife(fields["life"])
    fields["workspace"] = msgspec.json.decode(fields["workspace"], type=WorkspaceSource)
    fields["provider_options"] = msgspec.json.decode(fields["provider_options"])
    return SessionRow(**fields)


def run_row(record: asyncpg.Record) -> RunRow:
    fields = row(record)
    fields["state"] = RunState(fields["state"])
    return RunRow(**fields)


def _worker(record: asyncpg.Record) -> WorkerRow:
    fields = row(record)
    fields["state"] = WorkerState(fields["state"])
    return WorkerRow(**fields)


def request_row(record: asyncpg.Record) -> RequestRow:
    fields = row(record)
    fields["state"] = RequestState(fields["state"])
    fields["answer_to"] = AnswerTo(fields["answer_to"])
    fields["input"] = msgspec.json.decode(fields["input"])
    fields["form"] = msgspec.json.decode(fields["form"])
    fields["options"] = msgspec.json.decode(fields["options"], type=OPTIONS)
    fields["content"] = msgspec.json.decode(fields["content"]) if fields["content"] else None
    return RequestRow(**fields)
