"""Tickets: kept as hashes, redeemed once."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg
import msgspec

from contracts.tickets import Audience, Redeemed
from contracts.workers import WorkerState
from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("tickets")


OPENS = "+sensitive"
"""Behind an audience: its caller may open names that are withheld from others."""


@dataclass(frozen=True, slots=True)
class Once:
    """A ticket that was redeemed just now."""

    ticket: Redeemed
    opens_sensitive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A session's worker, and where its bytes are asked for."""

    worker_id: UUID
    project_id: UUID
    epoch: int
    manager_id: UUID
    state: WorkerState
    url: str


async def target(connection: Connection, session_id: UUID) -> Target | None:
    """Its current one."""
    return _target(await connection.fetchrow(QUERIES["running"], session_id))


async def newest(connection: Connection, session_id: UUID) -> Target | None:
    """Its newest one that was not removed."""
    return _target(await connection.fetchrow(QUERIES["newest"], session_id))


def _target(record: asyncpg.Record | None) -> Target | None:
    if record is None:
        return None
    return Target(
        worker_id=record["id"],
        project_id=record["project_id"],
        epoch=record["epoch"],
        manager_id=record["manager_id"],
        state=WorkerState(record["state"]),
        url=record["url"],
    )


async def insert(
    unit: Unit,
    target: Target,
    *,
    session_id: UUID,
    token_hash: str,
    audience: Audience,
    opens_sensitive: bool,
    issued_to: UUID,
    seconds: float,
) -> None:
    await unit.connection.execute(
        QUERIES["insert"],
        token_hash,
        target.project_id,
        session_id,
        target.worker_id,
        target.epoch,
        target.manager_id,
        audience + OPENS if opens_sensitive else audience,
        issued_to,
        seconds,
    )


async def redeem(unit: Unit, token_hash: str, manager_id: UUID) -> Once | None:
    record = await unit.connection.fetchrow(QUERIES["redeem"], token_hash, manager_id)
    if record is None:
        return None
    fields = dict(record.items())
    kept: str = fields["audience"]
    fields["audience"] = kept.removesuffix(OPENS)
    return Once(msgspec.convert(fields, Redeemed), opens_sensitive=kept.endswith(OPENS))


async def expire(unit: Unit, limit: int) -> int:
    """How many it deleted."""
    done = await unit.connection.execute(QUERIES["expire"], limit)
    return int(done.rpartition(" ")[2])
