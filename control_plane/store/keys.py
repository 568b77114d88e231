"""API keys: their hashes, whose they are, when they were revoked."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import or_, select

from chassis.ids import new_id
from contracts.identity import IdentityClaims, Introspected
from contracts.projects import Key, KeyList
from contracts.wire import KeyId, ProjectId, UserId
from control_plane.domain.cursors import Window
from control_plane.store.database import Connection, Unit
from control_plane.store.pages import page
from sql.named import load as load_queries
from sql.tables import api_keys

QUERIES = load_queries("keys")

_keys = api_keys.c


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFilter:
    user_id: UUID
    owned: Sequence[UUID]
    """Projects whose bound keys are shown as well."""
    bound_to: UUID | None
    """Only this project's keys."""

    @property
    def scope(self) -> str:
        return f"keys {self.user_id} {self.bound_to}"


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


async def listed(connection: Connection, wanted: KeyFilter, window: Window) -> KeyList:
    statement = select(
        _keys.id,
        _keys.user_id,
        _keys.project_id,
        _keys.name,
        _keys.rate_limit,
        _keys.created_at,
        _keys.revoked_at,
    ).where(or_(_keys.user_id == wanted.user_id, _keys.project_id.in_(wanted.owned)))
    if wanted.bound_to is not None:
        statement = statement.where(_keys.project_id == wanted.bound_to)
    items, cursor = await page(
        connection, statement, key=_keys.id, scope=wanted.scope, window=window, make=_key
    )
    return KeyList(items=items, next_cursor=cursor)


async def get(unit: Unit, key_id: UUID) -> Key | None:
    record = await unit.connection.fetchrow(QUERIES["get"], key_id)
    return None if record is None else _key(record)


async def revoke(unit: Unit, key_id: UUID) -> bool:
    """False: it had been revoked before."""
    return await unit.connection.fetchval(QUERIES["revoke"], key_id) is not None


def _key(record: asyncpg.Record) -> Key:
    return msgspec.convert(dict(record.items()), Key)
