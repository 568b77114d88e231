"""`/api/v1/projects`: made, listed; their members."""

from typing import Any
from uuid import UUID

from litestar import Request, Response, delete, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from contracts.projects import (
    CreateProject,
    CreateUser,
    Member,
    MemberList,
    Project,
    ProjectList,
    PutMember,
)
from control_plane.domain.access import Principal, Role
from control_plane.routes.policies import MANAGE_PROJECT, READ, READ_PROJECT
from control_plane.routes.wishes import (
    Cursor,
    IdempotencyKey,
    Limit,
    ask_of,
    replayed_headers,
    window,
)
from control_plane.services.projects import Projects


@post("/api/v1/projects", opt=READ, status_code=201, tags=["projects"])
async def create_project(
    *,
    request: Request[Any, Any, Any],
    data: JSONBody[CreateProject],
    principal: NamedDependency[Principal],
    projects: NamedDependency[Projects],
    idempotency_key: IdempotencyKey = None,
) -> Response[Project]:
    ask = ask_of(request, principal, data, idempotency_key)
    done = await projects.create(ask, data.name, principal=principal)
    return Response(done.value, headers=replayed_headers(replayed=done.replayed))


@get("/api/v1/projects", opt=READ, tags=["projects"])
async def list_projects(
    *,
    principal: NamedDependency[Principal],
    projects: NamedDependency[Projects],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> ProjectList:
    return await projects.listed(principal, window(limit, cursor))


@get("/api/v1/projects/{project_id:uuid}/members", opt=READ_PROJECT, tags=["projects"])
async def list_members(
    *,
    project_id: FromPath[UUID],
    projects: NamedDependency[Projects],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> MemberList:
    """The newest users first."""
    return await projects.members(project_id, window(limit, cursor))


@post(
    "/api/v1/projects/{project_id:uuid}/users",
    opt=MANAGE_PROJECT,
    status_code=201,
    tags=["projects"],
)
async def create_user(
    *,
    request: Request[Any, Any, Any],
    project_id: FromPath[UUID],
    data: JSONBody[CreateUser],
    principal: NamedDependency[Principal],
    projects: NamedDependency[Projects],
    idempotency_key: IdempotencyKey = None,
) -> Response[Member]:
    """A new person, a member of this project at once."""
    ask = ask_of(request, principal, data, idempotency_key)
    done = await projects.create_user(ask, data, project_id=project_id, by=principal.user_id)
    return Response(done.value, headers=replayed_headers(replayed=done.replayed))


@put(
    "/api/v1/projects/{project_id:uuid}/members/{user_id:uuid}",
    opt=MANAGE_PROJECT,
    status_code=204,
    tags=["projects"],
)
async def put_member(
    project_id: FromPath[UUID],
    user_id: FromPath[UUID],
    data: JSONBody[PutMember],
    principal: NamedDependency[Principal],
    projects: NamedDependency[Projects],
) -> None:
    await projects.put_member(project_id, user_id, Role(data.role), by=principal.user_id)


@delete(
    "/api/v1/projects/{project_id:uuid}/members/{user_id:uuid}",
    opt=MANAGE_PROJECT,
    status_code=204,
    tags=["projects"],
)
async def remove_member(
    project_id: FromPath[UUID],
    user_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    projects: NamedDependency[Projects],
) -> None:
    await projects.remove_member(project_id, user_id, by=principal.user_id)


PROJECT_ROUTES = [
    create_project,
    list_projects,
    list_members,
    create_user,
    put_member,
    remove_member,
]
