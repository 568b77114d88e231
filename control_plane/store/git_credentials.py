"""Credentials of a project for git hosts, with their tokens as they are sealed."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg
import msgspec

from contracts.git import GitCredential
from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("git_credentials")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCredential:
    shown: GitCredential
    sealed_token: bytes


async def listed(connection: Connection, project_id: UUID) -> list[GitCredential]:
    records = await connection.fetch(QUERIES["listed"], project_id)
    return [_stored(record).shown for record in records]


async def find(connection: Connection, project_id: UUID, host: str) -> StoredCredential | None:
    record = await connection.fetchrow(QUERIES["find"], project_id, host)
    return None if record is None else _stored(record)


async def put(
    unit: Unit, *, project_id: UUID, host: str, username: str, sealed_token: bytes
) -> GitCredential:
    record = await unit.connection.fetchrow(
        QUERIES["put"], project_id, host, username, sealed_token
    )
    if record is None:
        raise RuntimeError("an upsert gives its row")
    return _stored(record).shown


async def remove(unit: Unit, project_id: UUID, host: str) -> bool:
    return await unit.connection.fetchval(QUERIES["remove"], project_id, host) is not None


def _stored(record: asyncpg.Record) -> StoredCredential:
    fields = dict(record.items())
    sealed_token: bytes = fields.pop("sealed_token")
    return StoredCredential(shown=msgspec.convert(fields, GitCredential), sealed_token=sealed_token)
