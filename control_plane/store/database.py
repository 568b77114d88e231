"""The pool, and the unit of work: one short transaction with what it wakes once it has committed.

The service opens a unit; the store never commits. No transaction stays open across a wait, and
nothing but Postgres is called inside one.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias
from uuid import UUID

import asyncpg
import msgspec
from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
"""A string, because only the stubs make it generic."""


@dataclass(slots=True)
class Wakes:
    """What a committed transaction makes worth looking at: ids only, never content."""

    streams: set[UUID] = field(default_factory=set[UUID])
    managers: set[UUID] = field(default_factory=set[UUID])
    """Have a new command."""
    queue: bool = False
    """A run may be claimed now."""
    outbox: bool = False

    def __bool__(self) -> bool:
        return bool(self.streams or self.managers or self.queue or self.outbox)


class Waker(Protocol):
    def publish(self, wakes: Wakes) -> None:
        """Called after the commit; must not wait."""
        ...


@dataclass(slots=True)
class Unit:
    """One open transaction."""

    connection: Connection
    wakes: Wakes = field(default_factory=Wakes)


class Database:
    """`waker` is told what each committed unit touched."""

    def __init__(self, pool: asyncpg.Pool, waker: Waker) -> None:
        self._pool = pool
        self._waker = waker

    @asynccontextmanager
    async def unit(self) -> AsyncGenerator[Unit]:
        """A transaction at READ COMMITTED, committed on leaving; an exception rolls it back."""
        async with self._connection() as connection:
            async with connection.transaction():
                unit = Unit(connection)
                yield unit
            if unit.wakes:
                self._waker.publish(unit.wakes)

    @asynccontextmanager
    async def reading(self) -> AsyncGenerator[Connection]:
        """A connection for reads, each its own snapshot."""
        async with self._connection() as connection:
            yield connection

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[Connection]:
        """A connection that was cut while it stood idle is told as any other that is lost."""
        try:
            async with self._pool.acquire() as connection:
                yield connection
        except asyncpg.InternalClientError as error:
            raise asyncpg.InterfaceError("the connection was lost") from error

    async def close(self) -> None:
        await self._pool.close()


async def open_pool(url: str, *, size: int, application: str) -> asyncpg.Pool:
    """Timeouts on every statement, lock and idle transaction: nothing hangs for ever."""
    return await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        timeout=10,
        command_timeout=30,
        max_inactive_connection_lifetime=300,
        server_settings={
            "application_name": application,
            "statement_timeout": "25000",
            "lock_timeout": "10000",
            "idle_in_transaction_session_timeout": "30000",
            "jit": "off",
        },
    )


def row(record: asyncpg.Record) -> dict[str, Any]:
    return dict(record.items())


def columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """What a statement that unnests arrays takes: at least one row, one array for each column."""
    return [list(column) for column in zip(*rows, strict=True)]


def text(value: object) -> str:
    """As JSON."""
    return msgspec.json.encode(value).decode()
