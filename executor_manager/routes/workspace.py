"""`MANAGER_WORKSPACE_FILE`: the bytes of one file, to whoever brings a ticket for its worker."""

import asyncio
from collections.abc import Coroutine
from typing import Any
from uuid import UUID

import aiohttp
from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send

from chassis.logs import get_logger
from contracts.tickets import MANAGER_WORKSPACE_FILE, TICKET_HEADER
from executor_manager.services.workspaces import SILENCE_SECONDS, Workspaces

_log = get_logger()


def workspace_route(workspaces: Workspaces) -> HTTPRouteHandler:
    @get(MANAGER_WORKSPACE_FILE.replace("{worker_id}", "{worker_id:uuid}"))
    async def workspace_file(worker_id: FromPath[UUID], request: Request[Any, Any, Any]) -> ASGIApp:
        ticket = request.headers.get(TICKET_HEADER, "")
        query = request.scope["query_string"].decode("latin-1")

        # by ASGI itself: the reader's departure must end the reading at once, wherever it is
        async def answer(_scope: Scope, receive: Receive, send: Send) -> None:
            async with workspaces.file(worker_id, ticket=ticket, query=query) as response:
                await _until_either(_relay(response, send), _departure(receive))

        return answer

    return workspace_file


async def _until_either(
    work: Coroutine[Any, Any, None], departure: Coroutine[Any, Any, None]
) -> None:
    tasks = [asyncio.create_task(work), asyncio.create_task(departure)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        worked, _ = await asyncio.gather(*tasks, return_exceptions=True)
    if isinstance(worked, aiohttp.ClientError | TimeoutError):
        # left without its end: the server drops the connection, and nobody takes a part for all
        _log.warning("workspace_file_cut", reason=repr(worked))
    elif isinstance(worked, Exception):
        raise worked


async def _relay(response: aiohttp.ClientResponse, send: Send) -> None:
    headers = [(b"content-type", b"application/octet-stream")]
    if response.content_length is not None:
        headers.append((b"content-length", b"%d" % response.content_length))
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    more = True
    while more:
        chunk = await response.content.readany()
        more = not response.content.at_eof()
        async with asyncio.timeout(SILENCE_SECONDS):
            await send({"type": "http.response.body", "body": chunk, "more_body": more})


async def _departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
