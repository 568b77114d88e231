"""Model calls: opened when they begin, closed once, listed as clients see them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import select

from contracts.events import UsageUpdate
from contracts.models import ModelCall, ModelCallPage
from control_plane.domain.cursors import Window
from control_plane.domain.model_usage import Usage
from control_plane.store.database import Connection, Unit
from control_plane.store.pages import page
from sql.named import load as load_queries
from sql.tables import model_calls

QUERIES = load_queries("model_calls")

CallState = Literal["open", "completed", "refused", "cut"]
EndState = Literal["completed", "refused", "cut"]
Source = Literal["metered", "estimated"]

_calls = model_calls.c

_COLUMNS = [
    _calls[name]
    for name in (
        "id", "project_id", "session_id", "run_id", "attempt", "upstream", "path", "model", "state",
        "status", "source", "input_tokens", "output_tokens", "cached_tokens", "thought_tokens",
        "provider_id", "started_at", "ended_at",
    )
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCall:
    id: UUID
    project_id: UUID
    session_id: UUID
    worker_id: UUID
    upstream: str
    path: str
    model: str
    input_estimate: int
    seconds: float
    """After these it is overdue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    state: EndState
    status: int | None
    source: Source | None
    usage: Usage
    provider_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFilter:
    projects: Sequence[UUID]
    session_id: UUID | None = None
    run_id: UUID | None = None
    states: Sequence[CallState] = ()

    @property
    def scope(self) -> str:
        states = sorted(self.states)
        return f"model calls {sorted(self.projects)} {self.session_id} {self.run_id} {states}"


async def insert(unit: Unit, new: NewCall) -> None:
    await unit.connection.execute(
        QUERIES["open"],
        new.id,
        new.project_id,
        new.session_id,
        new.worker_id,
        new.upstream,
        new.path,
        new.model,
        new.input_estimate,
        new.seconds,
    )


async def close(unit: Unit, call_id: UUID, closing: Closing) -> bool:
    """False: somebody had closed it before."""
    usage = closing.usage
    closed = await unit.connection.fetchval(
        QUERIES["close"],
        call_id,
        closing.state,
        closing.status,
        closing.source,
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.thought_tokens,
        closing.provider_id,
    )
    return closed is not None


async def close_overdue(unit: Unit, limit: int) -> int:
    return len(await unit.connection.fetch(QUERIES["close_overdue"], limit))


async def usage(connection: Connection, run_id: UUID) -> list[UsageUpdate]:
    """One for each source and model, over all attempts."""
    records = await connection.fetch(QUERIES["usage"], run_id)
    return [UsageUpdate(**dict(record.items())) for record in records]


async def listed(connection: Connection, wanted: CallFilter, window: Window) -> ModelCallPage:
    statement = select(*_COLUMNS).where(_calls.project_id.in_(wanted.projects))
    if wanted.session_id is not None:
        statement = statement.where(_calls.session_id == wanted.session_id)
    if wanted.run_id is not None:
        statement = statement.where(_calls.run_id == wanted.run_id)
    if wanted.states:
        statement = statement.where(_calls.state.in_(wanted.states))
    items, cursor = await page(
        connection, statement, key=_calls.id, scope=wanted.scope, window=window, make=_call
    )
    return ModelCallPage(items=items, next_cursor=cursor)


def _call(record: asyncpg.Record) -> ModelCall:
    return msgspec.convert(dict(record.items()), ModelCall)
