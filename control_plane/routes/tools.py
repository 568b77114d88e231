"""`/api/v1/tools`: the platform's tools for whoever speaks for an agent from outside."""

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from contracts.tools import BlockTask, FinishTask, RequestInput, ToolAnswer
from control_plane.domain.access import Action, Principal
from control_plane.routes.policies import WRITE
from control_plane.routes.wishes import IdempotencyKey, ask_of, replayed_headers
from control_plane.services.access import Access
from control_plane.services.tools import Tools


@post("/api/v1/tools/finish_task", opt=WRITE, status_code=200, tags=["tools"])
async def finish_task(
    *,
    request: Request[Any, Any, Any],
    data: JSONBody[FinishTask],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    tools: NamedDependency[Tools],
    idempotency_key: IdempotencyKey = None,
) -> Response[ToolAnswer]:
    """The session's run, once it ends well, leaves its task in `review` with this summary."""
    return await _said(request, data, principal, access, tools, key=idempotency_key)


@post("/api/v1/tools/block_task", opt=WRITE, status_code=200, tags=["tools"])
async def block_task(
    *,
    request: Request[Any, Any, Any],
    data: JSONBody[BlockTask],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    tools: NamedDependency[Tools],
    idempotency_key: IdempotencyKey = None,
) -> Response[ToolAnswer]:
    """The session's run ends as `blocked_by_agent` with this reason, and so does its task."""
    return await _said(request, data, principal, access, tools, key=idempotency_key)


@post("/api/v1/tools/request_input", opt=WRITE, status_code=200, tags=["tools"])
async def request_input(
    *,
    request: Request[Any, Any, Any],
    data: JSONBody[RequestInput],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    tools: NamedDependency[Tools],
    idempotency_key: IdempotencyKey = None,
) -> Response[ToolAnswer]:
    """A human-loop request whose answer, whenever it comes, is the session's next message."""
    return await _said(request, data, principal, access, tools, key=idempotency_key)


async def _said(  # what each handler was given, in its order
    request: Request[Any, Any, Any],
    data: FinishTask | BlockTask | RequestInput,
    principal: Principal,
    access: Access,
    tools: Tools,
    *,
    key: str | None,
) -> Response[ToolAnswer]:
    await access.project_of_session(principal, Action.WRITE, data.session_id)
    ask = ask_of(request, principal, data, key)
    done = await tools.say(ask, data, by=principal.user_id)
    return Response(done.value, headers=replayed_headers(replayed=done.replayed))


TOOL_ROUTES = [finish_task, block_task, request_input]
