"""`/api/v1/apps`: an agent with its limits, under a name."""

from typing import Any
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, JSONBody

from contracts.projects import App, AppList, CreateApp
from control_plane.domain.access import Action, Principal
from control_plane.routes.policies import READ, WRITE
from control_plane.routes.wishes import (
    Cursor,
    IdempotencyKey,
    Limit,
    ask_of,
    replayed_headers,
    window,
)
from control_plane.services.access import Access
from control_plane.services.apps import Apps
from control_plane.services.idempotency import Idempotency


@post("/api/v1/apps", opt=WRITE, status_code=201, tags=["apps"])
async def create_app(
    *,
    request: Request[Any, Any, Any],
    data: JSONBody[CreateApp],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    apps: NamedDependency[Apps],
    idempotency: NamedDependency[Idempotency],
    idempotency_key: IdempotencyKey = None,
) -> Response[App]:
    """For owners; 409 where the name is taken."""
    project_id = access.project_for(principal, Action.MANAGE, data.project_id)
    done = await idempotency.once(
        ask_of(request, principal, data, idempotency_key),
        lambda unit: apps.create(unit, data, project_id=project_id),
        App,
    )
    return Response(done.value, headers=replayed_headers(replayed=done.replayed))


@get("/api/v1/apps", opt=READ, tags=["apps"])
async def list_apps(
    *,
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    apps: NamedDependency[Apps],
    project_id: FromQuery[UUID | None] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> AppList:
    return await apps.listed(access.projects_for(principal, project_id), window(limit, cursor))


APP_ROUTES = [create_app, list_apps]
