"""API keys: their hashes, whose they are, when they were revoked."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from chassis.ids import new_id
from contracts.identity import IdentityClaims, Introspected
from contracts.projects import Key
from contracts.wire import KeyId, ProjectId, UserId
from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("keys")


async def insert(
    unit: Unit,
    *,
    user_id: UUID,
    project_id: UUID | None,
    name: str,
    key_hash: str,
    rate_limit: int | None,
) -> UUID:
    key_id = new_id()
    await unit.connection.execute(
        QUERIES["insert"], key_id, user_id, project_id, name, key_hash, rate_limit
    )
    return key_id


async def introspect(connection: Connection, key_hash: str) -> Introspected:
    record = await connection.fetchrow(QUERIES["introspect"], key_hash)
    if record is None:
        return Introspected(active=False)
    bound_to = record["project_id"]
    claims = IdentityClaims(
        user_id=UserId(record["user_id"]),
        key_id=KeyId(record["id"]),
        kind="user",
        name=record["name"],
        project_id=None if bound_to is None else ProjectId(bound_to),
    )
    return Introspected(active=True, claims=claims, rate_limit=record["rate_limit"])


async def listed(connection: Connection, *, user_id: UUID, owned: Sequence[UUID]) -> list[Key]:
    """`owned`: projects whose bound keys are shown as well."""
    records = await connection.fetch(QUERIES["listed"], user_id, list(owned))
    return [msgspec.convert(dict(record.items()), Key) for record in records]


async def get(unit: Unit, key_id: UUID) -> Key | None:
    record = await unit.connection.fetchrow(QUERIES["get"], key_id)
    return None if record is None else msgspec.convert(dict(record.items()), Key)


async def revoke(unit: Unit, key_id: UUID) -> bool:
    """False: it had been revoked before."""
    return await unit.connection.fetchval(QUERIES["revoke"], key_id) is not None
