"""Model upstreams of a project, with their keys as they are sealed."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg
import msgspec

from contracts.models import ModelUpstream
from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("model_upstreams")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredUpstream:
    shown: ModelUpstream
    sealed_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUpstream:
    project_id: UUID
    name: str
    url: str
    formats: list[str]
    models: list[str]
    auth: str
    sealed_key: bytes


async def listed(connection: Connection, project_id: UUID) -> list[StoredUpstream]:
    records = await connection.fetch(QUERIES["listed"], project_id)
    return [_stored(record) for record in records]


async def lock(unit: Unit, project_id: UUID, name: str) -> StoredUpstream | None:
    record = await unit.connection.fetchrow(QUERIES["lock"], project_id, name)
    return None if record is None else _stored(record)


async def put(unit: Unit, new: NewUpstream) -> ModelUpstream:
    record = await unit.connection.fetchrow(
        QUERIES["put"],
        new.project_id,
        new.name,
        new.url,
        new.formats,
        new.models,
        new.auth,
        new.sealed_key,
    )
    if record is None:
        raise RuntimeError("an upsert gives its row")
    return _stored(record).shown


async def remove(unit: Unit, project_id: UUID, name: str) -> bool:
    return await unit.connection.fetchval(QUERIES["remove"], project_id, name) is not None


def _stored(record: asyncpg.Record) -> StoredUpstream:
    fields = dict(record.items())
    sealed_key: bytes = fields.pop("sealed_key")
    shown = msgspec.convert({**fields, "has_key": bool(sealed_key)}, ModelUpstream)
    return StoredUpstream(shown=shown, sealed_key=sealed_key)
