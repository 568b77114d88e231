"""What is looked for when rows no longer agree: stale runs, overdue saves."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from control_plane.store.database import Connection, row
from sql.named import load as load_queries

QUERIES = load_queries("reconcile")


@dataclass(frozen=True, slots=True)
class StaleHead:
    """A live run, and what is wrong with it, if anything."""

    session_id: UUID
    run_id: UUID
    overdue: bool
    """Its executor did not cancel it in time."""
    orphaned: bool
    """Its worker is not its session's any more."""
    forgotten: bool
    """Its executor was told to start it and says that it has no run."""


async def stale_runs(connection: Connection, idle: float, limit: int) -> list[UUID]:
    records = await connection.fetch(QUERIES["stale_runs"], idle, limit)
    return [record["session_id"] for record in records]


async def stale_heads(
    connection: Connection, session_ids: Sequence[UUID], lease: float
) -> dict[UUID, StaleHead]:
    """By session; `lease` in seconds is what heartbeats renew."""
    records = await connection.fetch(QUERIES["stale_heads"], list(session_ids), lease)
    return {record["session_id"]: StaleHead(**row(record)) for record in records}


async def may_reclaim(connection: Connection, gap: float) -> bool:
    """False while nobody looked for long, or a gap is being waited out."""
    return bool(await connection.fetchval(QUERIES["may_reclaim"], gap))


async def unsaved_too_long(
    connection: Connection, seconds: float, limit: int
) -> list[tuple[UUID, UUID]]:
    """(session, worker)."""
    records = await connection.fetch(QUERIES["unsaved_too_long"], seconds, limit)
    return [(record["session_id"], record["id"]) for record in records]
