"""`MANAGER_WORKSPACE`: a worker's files, to whoever brings a ticket for it."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any
from uuid import UUID

import aiohttp
from litestar import Request, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp, Receive, Scope, Send

from chassis.logs import get_logger
from contracts.tickets import TICKET_HEADER
from contracts.workspace_files import MANAGER_WORKSPACE
from executor_manager.services.workspaces import SILENCE_SECONDS, Asked, Workspaces

PLACE = MANAGER_WORKSPACE.replace("{worker_id}", "{worker_id:uuid}").replace(
    "{operation}", "{operation:str}"
)
RETURNED = (
    "accept-ranges",
    "content-length",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
)
"""Of an answer's headers."""

_log = get_logger()


def workspace_route(workspaces: Workspaces) -> HTTPRouteHandler:
    @route(PLACE, http_method=["GET", "PUT", "POST", "DELETE"], status_code=200)
    async def workspace(
        worker_id: FromPath[UUID], operation: FromPath[str], request: Request[Any, Any, Any]
    ) -> ASGIApp:
        # by ASGI itself: what is sent goes on as it comes, and the caller's departure must end it
        # at once, wherever it is
        async def answer(_scope: Scope, receive: Receive, send: Send) -> None:
            body = _Body(receive)
            asked = Asked(
                method=request.method,
                operation=operation,
                query=request.scope["query_string"].decode("latin-1"),
                headers=request.headers,
                content=None if request.method in {"GET", "DELETE"} else body.content(),
            )
            if asked.content is None:
                body.over.set()
            ticket = request.headers.get(TICKET_HEADER, "")
            async with workspaces.asked(worker_id, ticket=ticket, asked=asked) as response:
                await _until_either(_relay(response, send), body.departure())

        return answer

    return workspace


class _Body:
    def __init__(self, receive: Receive) -> None:
        self.over = asyncio.Event()
        self._receive = receive
        self._left = False

    async def content(self) -> AsyncGenerator[bytes]:
        more = True
        while more:
            async with asyncio.timeout(SILENCE_SECONDS):
                message = await self._receive()
            if message["type"] == "http.disconnect":
                self._left = True
                self.over.set()
                raise ConnectionAbortedError("the sender left")
            more = message.get("more_body", False)
            if chunk := message.get("body", b""):
                yield chunk
        self.over.set()

    async def departure(self) -> None:
        await self.over.wait()
        while not self._left and (await self._receive())["type"] != "http.disconnect":
            pass


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
        _log.warning("workspace_cut", reason=repr(worked))
    elif isinstance(worked, Exception):
        raise worked


async def _relay(response: aiohttp.ClientResponse, send: Send) -> None:
    headers = [
        (name.encode(), response.headers[name].encode("latin-1"))
        for name in RETURNED
        if name in response.headers
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    more = True
    while more:
        chunk = await response.content.readany()
        more = not response.content.at_eof()
        async with asyncio.timeout(SILENCE_SECONDS):
            await send({"type": "http.response.body", "body": chunk, "more_body": more})
