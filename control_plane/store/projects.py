"""Projects, users and who belongs where."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Text, cast, select

from chassis.ids import new_id
from contracts.projects import Member, MemberList, Project, ProjectList
from control_plane.domain.access import Role
from control_plane.domain.cursors import Window
from control_plane.store.database import Connection, Unit
from control_plane.store.pages import AnySelect, fetch, page
from sql.named import load as load_queries
from sql.tables import memberships, projects, users

QUERIES = load_queries("projects")

_projects = projects.c
_memberships = memberships.c
_users = users.c


async def insert(unit: Unit, name: str, *, owner: UUID) -> UUID:
    """With its stream and its first owner."""
    project_id = new_id()
    await unit.connection.execute(QUERIES["insert"], project_id, name)
    await unit.connection.execute(QUERIES["insert_stream"], project_id)
    await put_member(unit, project_id=project_id, user_id=owner, role=Role.OWNER)
    return project_id


async def get(connection: Connection, project_id: UUID, *, user_id: UUID) -> Project:
    """One that the user is a member of."""
    (record,) = await fetch(connection, _as_seen_by(user_id).where(_projects.id == project_id))
    return _project(record)


async def listed(
    connection: Connection, among: Sequence[UUID], *, user_id: UUID, window: Window
) -> ProjectList:
    items, cursor = await page(
        connection,
        _as_seen_by(user_id).where(_projects.id.in_(among)),
        key=_projects.id,
        scope=f"projects {user_id}",
        window=window,
        make=_project,
    )
    return ProjectList(items=items, next_cursor=cursor)


async def insert_user(unit: Unit, name: str) -> UUID:
    user_id = new_id()
    await unit.connection.execute(QUERIES["insert_user"], user_id, name)
    return user_id


async def has_user(unit: Unit, user_id: UUID) -> bool:
    return await unit.connection.fetchval(QUERIES["has_user"], user_id)


async def members(connection: Connection, project_id: UUID, window: Window) -> MemberList:
    items, cursor = await page(
        connection,
        select(_users.id, _users.name, cast(_memberships.role, Text).label("role"))
        .join(memberships, _memberships.user_id == _users.id)
        .where(_memberships.project_id == project_id),
        key=_users.id,
        scope=f"members {project_id}",
        window=window,
        make=_member,
    )
    return MemberList(items=items, next_cursor=cursor)


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


def _as_seen_by(user_id: UUID) -> AnySelect:
    """With the user's role."""
    return (
        select(
            _projects.id,
            _projects.name,
            _projects.created_at,
            cast(_memberships.role, Text).label("role"),
        )
        .join(memberships, _memberships.project_id == _projects.id)
        .where(_memberships.user_id == user_id)
    )


def _project(record: asyncpg.Record) -> Project:
    return msgspec.convert(dict(record.items()), Project)


def _member(record: asyncpg.Record) -> Member:
    return Member(user_id=record["id"], name=record["name"], role=record["role"])
