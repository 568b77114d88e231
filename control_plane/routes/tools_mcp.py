"""The platform's tools for agents: MCP over streamable HTTP, stateless, one answer to each POST.

An agent reaches it by its worker's relay, which adds the worker's token: whose work a call is about
is never asked of the agent. There is no stream to open with GET and no session to end with DELETE:
both are 405.
"""

import asyncio
from typing import Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency

from chassis.errors import BerthError
from chassis.version import VERSION
from control_plane.domain import mcp
from control_plane.domain.access import WorkerCaller
from control_plane.domain.mcp import Failure, Heard, Json, Message, ToolUse
from control_plane.routes.policies import SUPERSEDED_WORKER
from control_plane.services.tools import Tools

VERSION_HEADER = "mcp-protocol-version"


@post("/internal/v1/workers/{worker_id:uuid}/tools/mcp", opt=SUPERSEDED_WORKER, status_code=200)
async def tools_mcp(
    *,
    request: Request[Any, Any, Any],
    worker: NamedDependency[WorkerCaller],
    tools: NamedDependency[Tools],
) -> Response[bytes]:
    """Also for a superseded worker: its agent is told so by the tool that it calls."""
    try:
        body = mcp.parse(await request.body(), request.headers.get(VERSION_HEADER))
    except Failure as failure:
        return _sent(mcp.failed(failure), status=400)
    server = _Server(request, tools, worker)
    answers = [said for one in body.messages if (said := await server.answer(one)) is not None]
    if not answers:
        return Response(b"", status_code=202)
    return _sent(answers if body.batch else answers[0])


def _sent(value: Json | list[Json], *, status: int = 200) -> Response[bytes]:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")


class _Server:
    """For one POST."""

    def __init__(self, request: Request[Any, Any, Any], tools: Tools, worker: WorkerCaller) -> None:
        self._request = request
        self._tools = tools
        self._worker = worker

    async def answer(self, message: Message) -> Json | None:
        if isinstance(message, Heard):
            return None
        if isinstance(message, Failure):
            return mcp.failed(message)
        try:
            said = mcp.answer(message, version=VERSION)
        except Failure as failure:
            return mcp.failed(failure)
        return await self._used(said) if isinstance(said, ToolUse) else said

    async def _used(self, use: ToolUse) -> Json:
        left = asyncio.Event()
        watch = asyncio.create_task(self._set_when_left(left), name="tool caller")
        try:
            answer = await self._tools.call(self._worker, use.call, left=left)
        except BerthError as error:
            return mcp.tool_result(use.id, f"Refused: {error.detail}", is_error=True)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        return mcp.tool_result(use.id, answer.text, is_error=not answer.accepted)

    async def _set_when_left(self, left: asyncio.Event) -> None:
        while (await self._request.receive())["type"] != "http.disconnect":
            pass
        left.set()


MCP_ROUTES = [tools_mcp]
