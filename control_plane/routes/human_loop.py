"""`/api/v1/human-loop`: what waits for a person, and what a person answers."""

from uuid import UUID

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from contracts.human_loop import HumanLoopRequest, Replied, Reply, RequestPage
from control_plane.domain.access import Principal
from control_plane.routes.policies import READ, READ_REQUEST, WRITE_REQUEST
from control_plane.routes.wishes import Cursor, Limit, window
from control_plane.services.access import Access
from control_plane.services.human_loop import HumanLoop
from control_plane.services.requests import PENDING, RESOLVED, Requests


@get("/api/v1/human-loop/pending", opt=READ, tags=["human-loop"])
async def list_pending(
    *,
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    requests: NamedDependency[Requests],
    project_id: FromQuery[UUID | None] = None,
    session_id: FromQuery[UUID | None] = None,
    run_id: FromQuery[UUID | None] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RequestPage:
    return await requests.listed(
        projects=access.projects_for(principal, project_id),
        states=PENDING,
        session_id=session_id,
        run_id=run_id,
        window=window(limit, cursor),
    )


@get("/api/v1/human-loop/resolved", opt=READ, tags=["human-loop"])
async def list_resolved(
    *,
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    requests: NamedDependency[Requests],
    project_id: FromQuery[UUID | None] = None,
    session_id: FromQuery[UUID | None] = None,
    run_id: FromQuery[UUID | None] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> RequestPage:
    """Answered or withdrawn."""
    return await requests.listed(
        projects=access.projects_for(principal, project_id),
        states=RESOLVED,
        session_id=session_id,
        run_id=run_id,
        window=window(limit, cursor),
    )


@get("/api/v1/human-loop/{request_id:uuid}", opt=READ_REQUEST, tags=["human-loop"])
async def get_request(
    request_id: FromPath[UUID], requests: NamedDependency[Requests]
) -> HumanLoopRequest:
    return await requests.get(request_id)


@post(
    "/api/v1/human-loop/{request_id:uuid}/reply",
    opt=WRITE_REQUEST,
    status_code=200,
    tags=["human-loop"],
)
async def reply(
    request_id: FromPath[UUID],
    data: JSONBody[Reply],
    principal: NamedDependency[Principal],
    human_loop: NamedDependency[HumanLoop],
    requests: NamedDependency[Requests],
) -> Replied:
    """Decides once; a second answer changes nothing and is told `duplicate`."""
    duplicate = await human_loop.reply(request_id, data, by=principal.user_id)
    return Replied(request=await requests.get(request_id), duplicate=duplicate)


HUMAN_LOOP_ROUTES = [list_pending, list_resolved, get_request, reply]
