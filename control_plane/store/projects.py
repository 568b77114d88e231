"""Projects, users and who belongs where."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from chassis.ids import new_id
from contracts.projects import Member, Project
from control_plane.domain.access import Role
from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("projects")


async def insert(unit: Unit, name: str, *, owner: UUID) -> UUID:
    """With its stream and its first owner."""
    project_id = new_id()
    await unit.connection.execute(QUERIES["insert"], project_id, name)
    await unit.connection.execute(QUERIES["insert_stream"], project_id)
    await put_member(unit, project_id=project_id, user_id=owner, role=Role.OWNER)
    return project_id


async def listed(
    connection: Connection, *, user_id: UUID, projects: Sequence[UUID]
) -> list[Project]:
    records = await connection.fetch(QUERIES["listed"], user_id, list(projects))
    return [msgspec.convert(dict(record.items()), Project) for record in records]


async def insert_user(unit: Unit, name: str) -> UUID:
    user_id = new_id()
    await unit.connection.execute(QUERIES["insert_user"], user_id, name)
    return user_id


async def has_user(unit: Unit, user_id: UUID) -> bool:
    return await unit.connection.fetchval(QUERIES["has_user"], user_id)


async def members(connection: Connection, project_id: UUID) -> list[Member]:
    records = await connection.fetch(QUERIES["members"], project_id)
    return [msgspec.convert(dict(record.items()), Member) for record in records]


async def put_member(unit: Unit, *, project_id: UUID, user_id: UUID, role: Role) -> None:
    await unit.connection.execute(QUERIES["put_member"], project_id, user_id, role.value)


async def remove_member(unit: Unit, *, project_id: UUID, user_id: UUID) -> bool:
    removed = await unit.connection.fetchval(QUERIES["remove_member"], project_id, user_id)
    return removed is not None


async def lock_owners(unit: Unit, project_id: UUID) -> list[UUID]:
    records = await unit.connection.fetch(QUERIES["lock_owners"], project_id)
    return [record["user_id"] for record in records]


async def lock_bootstrap(unit: Unit) -> None:
    """Two that start together make one project."""
    await unit.connection.execute(QUERIES["lock_bootstrap"])


async def by_name(unit: Unit, name: str) -> UUID | None:
    found: UUID | None = await unit.connection.fetchval(QUERIES["by_name"], name)
    return found


async def user_by_name(unit: Unit, name: str) -> UUID | None:
    found: UUID | None = await unit.connection.fetchval(QUERIES["user_by_name"], name)
    return found
