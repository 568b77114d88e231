"""Reads who a caller is to what it names."""

from dataclasses import dataclass
from uuid import UUID

from control_plane.domain.access import Noun, Role, WorkerCaller
from control_plane.store.database import Connection
from sql.named import load as load_queries

QUERIES = load_queries("access")


@dataclass(frozen=True, slots=True)
class Standing:
    administrator: bool
    """Of the installation."""
    roles: dict[UUID, Role]
    """By project."""


async def standing(connection: Connection, *, user_id: UUID, key_id: UUID) -> Standing | None:
    """None when the key was revoked."""
    records = await connection.fetch(QUERIES["memberships"], user_id, key_id)
    if records[0]["revoked"]:
        return None
    roles = {r["project_id"]: Role(r["role"]) for r in records if r["project_id"] is not None}
    return Standing(records[0]["administrator"], roles)


async def project_of(connection: Connection, noun: Noun, noun_id: UUID) -> UUID | None:
    project: UUID | None = await connection.fetchval(QUERIES[f"project_of_{noun}"], noun_id)
    return project


async def worker_by_token(
    connection: Connection, *, worker_id: UUID, token_hash: str
) -> WorkerCaller | None:
    """The first use of its present token ends the former one."""
    record = await connection.fetchrow(QUERIES["worker_by_token"], worker_id, token_hash)
    if record is None:
        return None
    if record["present"] and record["has_former"]:
        await connection.execute(QUERIES["forget_former_token"], worker_id, token_hash)
    return WorkerCaller(
        id=record["id"],
        session_id=record["session_id"],
        project_id=record["project_id"],
        manager_id=record["manager_id"],
        epoch=record["epoch"],
        superseded=record["superseded"],
        released=record["released"],
    )
