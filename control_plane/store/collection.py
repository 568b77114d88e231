"""What is collected: old snapshots in passing, then what no snapshot names, in two steps."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from control_plane.store.database import Connection, Unit
from control_plane.store.packs import QUERIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Where the walks over rows and over the store have come to."""

    looked_at: str
    listed: str
    known: bool
    """Every manifest of a snapshot that was made before packs had rows has been read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    id: UUID
    session_id: UUID
    created_at: datetime.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    key: str
    old: bool
    """Uploaded before the grace, and not condemned."""
    named: bool


async def hold(unit: Unit, holder: UUID, seconds: float) -> Held | None:
    """None: another collector is at work."""
    record = await unit.connection.fetchrow(QUERIES["hold"], holder, seconds)
    return None if record is None else Held(**dict(record.items()))


async def let_go(unit: Unit, holder: UUID) -> None:
    await unit.connection.execute(QUERIES["let_go"], holder)


async def all_read(unit: Unit) -> None:
    await unit.connection.execute(QUERIES["all_read"])


async def looked_at(unit: Unit, key: str) -> None:
    await unit.connection.execute(QUERIES["looked_at"], key)


async def listed(unit: Unit, key: str) -> None:
    await unit.connection.execute(QUERIES["listed"], key)


async def page(connection: Connection, *, after: str, grace: float, limit: int) -> list[Looked]:
    """Rows of packs in the order of keys."""
    records = await connection.fetch(QUERIES["page"], after, grace, limit)
    return [Looked(**dict(record.items())) for record in records]


async def lock_free(unit: Unit, keys: Sequence[str]) -> list[str]:
    """Those that nobody is about to name."""
    return [one["key"] for one in await unit.connection.fetch(QUERIES["lock_free"], list(keys))]


async def condemn(unit: Unit, keys: Sequence[str]) -> int:
    """Under their locks: those that no snapshot names."""
    return _count(await unit.connection.execute(QUERIES["condemn"], list(keys)))


async def long_condemned(
    connection: Connection, *, grace: float, after: str, limit: int
) -> list[str]:
    records = await connection.fetch(QUERIES["long_condemned"], grace, after, limit)
    return [record["key"] for record in records]


async def give_up(unit: Unit, keys: Sequence[str], *, grace: float) -> int:
    """Under their locks: from now on nobody may name them."""
    return _count(await unit.connection.execute(QUERIES["give_up"], list(keys), grace))


async def gone(connection: Connection, *, after: str, limit: int) -> list[str]:
    """What is to be deleted from the store."""
    return [one["key"] for one in await connection.fetch(QUERIES["gone"], after, limit)]


async def deleted(unit: Unit, keys: Sequence[str]) -> None:
    await unit.connection.execute(QUERIES["deleted"], list(keys))


async def forget(unit: Unit, *, after: float, limit: int) -> int:
    return _count(await unit.connection.execute(QUERIES["forget"], after, limit))


async def again(unit: Unit, keys: Sequence[str], *, after: float) -> int:
    return _count(await unit.connection.execute(QUERIES["again"], list(keys), after))


async def without_row(connection: Connection, keys: Sequence[str]) -> set[str]:
    return {one["key"] for one in await connection.fetch(QUERIES["without_row"], list(keys))}


async def passed(
    connection: Connection,
    *,
    checkpoints: float,
    sides: float,
    after: tuple[datetime.datetime, UUID],
    limit: int,
) -> list[Passed]:
    records = await connection.fetch(QUERIES["passed"], checkpoints, sides, *after, limit)
    return [Passed(**dict(record.items())) for record in records]


async def delete_passed(unit: Unit, found: Sequence[Passed], *, ended: float) -> int:
    """Those that nothing needs, of sessions that nobody holds; `ended`: seconds ago, their runs."""
    sessions = sorted({one.session_id for one in found})
    free = await unit.connection.fetch(QUERIES["lock_sessions"], sessions)
    ids, held = [one.id for one in found], [record["id"] for record in free]
    return len(await unit.connection.fetch(QUERIES["delete_passed"], ids, held, ended))


async def damage(unit: Unit, snapshot_id: UUID, why: str) -> bool:
    """False: it was known as damaged before."""
    return _count(await unit.connection.execute(QUERIES["damage"], snapshot_id, why)) == 1


def _count(status: str) -> int:
    return int(status.rpartition(" ")[2])
