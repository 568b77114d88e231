"""`MANAGER_TTY` and `MANAGER_EXEC`: passed through to the executor, for whoever brings a ticket."""

import asyncio
from typing import Any
from uuid import UUID

from litestar import Request, Response, WebSocket, post, websocket
from litestar.handlers import HTTPRouteHandler, WebsocketRouteHandler
from litestar.params import FromPath

from chassis.bridge import Bridge, refuse
from chassis.errors import BerthError
from chassis.logs import get_logger
from chassis.problems import known_error
from contracts.errors import Code
from contracts.terminals import MANAGER_EXEC, MANAGER_TTY
from contracts.tickets import TICKET_HEADER
from executor_manager.services.terminals import Terminals

BODY_BYTES = 256 * 1024

_log = get_logger()


def terminal_route(terminals: Terminals) -> WebsocketRouteHandler:
    @websocket(MANAGER_TTY.replace("{worker_id}", "{worker_id:uuid}"))
    async def terminal(worker_id: FromPath[UUID], socket: WebSocket[Any, Any, Any]) -> None:
        ticket = socket.headers.get(TICKET_HEADER, "")
        query = socket.scope["query_string"].decode("latin-1")
        # by ASGI itself, on both sides of the handshake
        await socket.receive()
        try:
            async with terminals.opened(worker_id, ticket=ticket, query=query) as far:
                await socket.send({"type": "websocket.accept", "subprotocol": None, "headers": []})
                ending = await Bridge(socket.receive, socket.send, far).run()
                _log.info("terminal_left", worker=worker_id, code=ending.code)
        except BerthError as error:
            await refuse(socket.send, error)
        except Exception as error:  # noqa: BLE001  # the top of a connection
            await refuse(socket.send, known_error(error))

    return terminal


def exec_route(terminals: Terminals) -> HTTPRouteHandler:
    @post(
        MANAGER_EXEC.replace("{worker_id}", "{worker_id:uuid}"),
        status_code=200,
        request_max_body_size=BODY_BYTES,
    )
    async def command(
        worker_id: FromPath[UUID], request: Request[Any, Any, Any]
    ) -> Response[bytes]:
        body = await request.body()
        running = asyncio.create_task(
            terminals.run(
                worker_id,
                ticket=request.headers.get(TICKET_HEADER, ""),
                body=body,
                content_type=request.headers.get("content-type", ""),
            )
        )
        leaving = asyncio.create_task(_departure(request))
        try:
            await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                raise BerthError(Code.CONFLICT, "nobody waits for it any more")
            return Response(running.result(), media_type="application/json")
        finally:
            for task in (running, leaving):
                task.cancel()
            await asyncio.gather(running, leaving, return_exceptions=True)

    return command


async def _departure(request: Request[Any, Any, Any]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
