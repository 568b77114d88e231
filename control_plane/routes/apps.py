"""`/api/v1/apps`: an agent with its limits, under a name."""

from typing import Any
from uuid import UUID

from litestar import Request, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.params import FromPath, FromQuery, JSONBody

from contracts.projects import App, AppList, CreateApp, PatchApp
from control_plane.domain.access import Action, Principal
from control_plane.routes.policies import MANAGE_APP, READ, WRITE
from control_plane.routes.ranges import tell_range
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


@post(
    "/api/v1/apps",
    opt=WRITE,
    status_code=201,
    tags=["apps"],
    exception_handlers={ValidationException: tell_range},
)
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


@patch(
    "/api/v1/apps/{app_id:uuid}",
    opt=MANAGE_APP,
    tags=["apps"],
    exception_handlers={ValidationException: tell_range},
)
async def patch_app(
    *,
    app_id: FromPath[UUID],
    data: JSONBody[PatchApp],
    principal: NamedDependency[Principal],
    apps: NamedDependency[Apps],
) -> App:
    """For owners; audited. Runs and containers that are there keep what they were made with."""
    return await apps.patch(app_id, data, by=principal.user_id)


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


APP_ROUTES = [create_app, patch_app, list_apps]
