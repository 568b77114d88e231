"""What sessions may reach, as it is kept: an object, empty where nothing was said."""

import hashlib
from collections.abc import Sequence
from uuid import UUID

import msgspec

from contracts.egress import EgressPolicy
from control_plane.domain.egress import InForce
from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("egress")
NOTHING_SAID = "{}"

_decode = msgspec.json.Decoder(EgressPolicy).decode


def kept(policy: EgressPolicy | None) -> str:
    return NOTHING_SAID if policy is None else msgspec.json.encode(policy).decode()


def read(text: str) -> EgressPolicy:
    """Nothing, where nothing was said."""
    return _decode(text)


def in_force(text: str) -> InForce:
    """As Postgres writes an object: equal ones alike."""
    return InForce(read(text), hashlib.sha256(text.encode()).hexdigest()[:16])


async def of_project(connection: Connection, project_id: UUID) -> EgressPolicy:
    """Of a project that there is."""
    return read(await connection.fetchval(QUERIES["of_project"], project_id))


async def lock_project(unit: Unit, project_id: UUID) -> EgressPolicy:
    return read(await unit.connection.fetchval(QUERIES["lock_project"], project_id))


async def set_project(unit: Unit, project_id: UUID, policy: EgressPolicy) -> None:
    await unit.connection.execute(QUERIES["set_project"], project_id, kept(policy))


async def of_worker(connection: Connection, worker_id: UUID) -> EgressPolicy:
    """What is in force for it now. Of no worker: nothing."""
    text: str | None = await connection.fetchval(QUERIES["of_worker"], worker_id)
    return EgressPolicy() if text is None else read(text)


async def of_current_workers(
    connection: Connection, worker_ids: Sequence[UUID]
) -> dict[UUID, InForce]:
    records = await connection.fetch(QUERIES["of_current_workers"], list(worker_ids))
    return {record["id"]: in_force(record["egress"]) for record in records}


async def take_denials(unit: Unit, worker_id: UUID, batch_id: UUID) -> bool:
    """False: it was told before, or the worker superseded. Under its session's lock."""
    taken = await unit.connection.fetchval(QUERIES["take_denials"], worker_id, batch_id)
    return taken is not None
