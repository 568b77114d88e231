"""Lists with many optional filters: SQLAlchemy Core makes the text, asyncpg runs it."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

import asyncpg
from sqlalchemy import ColumnElement, Select
from sqlalchemy.dialects import postgresql

from control_plane.domain.cursors import Window, after, cursor_of
from control_plane.store.database import Connection

T = TypeVar("T")

AnySelect = Select[*tuple[Any, ...]]

_DIALECT = postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call] # SQLAlchemy leaves it so


async def fetch(connection: Connection, statement: AnySelect) -> list[asyncpg.Record]:
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    names: Sequence[str] = compiled.positiontup or []  # type: ignore[attr-defined] # set by the dialect
    return await connection.fetch(str(compiled), *[compiled.params[name] for name in names])


async def page(
    connection: Connection,
    statement: AnySelect,
    *,
    key: ColumnElement[Any],
    scope: str,
    window: Window,
    make: Callable[[asyncpg.Record], T],
) -> tuple[list[T], str | None]:
    """Newest first by `key`, which the rows call `id`; the cursor is None on the last page."""
    last: UUID | None = after(scope, window.cursor)
    if last is not None:
        statement = statement.where(key < last)
    records = await fetch(connection, statement.order_by(key.desc()).limit(window.limit + 1))
    more = len(records) > window.limit
    kept = records[: window.limit]
    return [make(record) for record in kept], cursor_of(scope, kept[-1]["id"]) if more else None
