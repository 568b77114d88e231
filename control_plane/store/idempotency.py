"""Idempotency keys: one row a key, written in the transaction of what it stands for."""

from dataclasses import dataclass
from uuid import UUID

from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("idempotency")


@dataclass(frozen=True, slots=True)
class Kept:
    request_hash: str
    answer: str


async def claim(unit: Unit, *, user_id: UUID, key: str, request_hash: str) -> Kept | None:
    """None: the key is ours now. Else what the one who had it before answered."""
    claimed = await unit.connection.fetchval(QUERIES["claim"], user_id, key, request_hash)
    if claimed is not None:
        return None
    # a statement of its own: its snapshot sees what the other one has just committed
    return await kept(unit.connection, user_id=user_id, key=key)


async def kept(connection: Connection, *, user_id: UUID, key: str) -> Kept | None:
    record = await connection.fetchrow(QUERIES["kept"], user_id, key)
    return Kept(record["request_hash"], record["answer"]) if record else None


async def keep(unit: Unit, *, user_id: UUID, key: str, status: int, answer: str) -> None:
    await unit.connection.execute(QUERIES["keep"], user_id, key, status, answer)


async def expire(unit: Unit, *, hours: int, limit: int) -> int:
    done = await unit.connection.execute(QUERIES["expire"], hours, limit)
    return int(done.rpartition(" ")[2])
