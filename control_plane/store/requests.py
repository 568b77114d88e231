"""Human-loop requests as clients see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import select

from contracts.human_loop import HumanLoopRequest, RequestPage, RequestState
from control_plane.domain.cursors import Window
from control_plane.store.database import Connection
from control_plane.store.pages import fetch, page
from sql.tables import human_loop_requests

_requests = human_loop_requests.c

_COLUMNS = [
    _requests[name]
    for name in (
        "id", "session_id", "run_id", "project_id", "type", "state", "title", "tool", "input",
        "input_hash", "options", "form", "attempt", "deadline", "overdue_at", "option_id",
        "option_kind", "text", "decided_by", "decided_at", "created_at",
    )
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFilter:
    projects: Sequence[UUID]
    states: Sequence[RequestState]
    session_id: UUID | None = None
    run_id: UUID | None = None

    @property
    def scope(self) -> str:
        states = sorted(state.value for state in self.states)
        return f"requests {sorted(self.projects)} {states} {self.session_id} {self.run_id}"


async def get(connection: Connection, request_id: UUID) -> HumanLoopRequest | None:
    records = await fetch(connection, select(*_COLUMNS).where(_requests.id == request_id))
    return _request(records[0]) if records else None


async def listed(connection: Connection, wanted: RequestFilter, window: Window) -> RequestPage:
    statement = select(*_COLUMNS).where(
        _requests.project_id.in_(wanted.projects),
        _requests.state.in_([state.value for state in wanted.states]),
    )
    if wanted.session_id is not None:
        statement = statement.where(_requests.session_id == wanted.session_id)
    if wanted.run_id is not None:
        statement = statement.where(_requests.run_id == wanted.run_id)
    items, cursor = await page(
        connection,
        statement,
        key=_requests.id,
        scope=wanted.scope,
        window=window,
        make=_request,
    )
    return RequestPage(items=items, next_cursor=cursor)


def _request(record: asyncpg.Record) -> HumanLoopRequest:
    fields = dict(record.items())
    for name in ("input", "options", "form"):
        fields[name] = msgspec.json.decode(fields[name])
    fields["overdue"] = fields.pop("overdue_at") is not None
    return msgspec.convert(fields, HumanLoopRequest)
