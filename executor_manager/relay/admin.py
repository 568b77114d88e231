"""The admin socket's API: what the manager pushes. Only the relay's own uid can connect to it."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec
from aiohttp import web

from contracts.errors import Code
from contracts.relay import (
    RELAY_DELETE,
    RELAY_LIST,
    RELAY_PUT,
    RELAY_ROUTES,
    RelayPolicy,
    RelayRoutes,
    RelayWorkers,
)
from contracts.wire import Empty
from executor_manager.relay.problems import problem
from executor_manager.relay.sockets import SocketRefused
from executor_manager.relay.upstreams import Upstreams
from executor_manager.relay.workers import Workers

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_admin(*, boot: str, upstreams: Upstreams, workers: Workers) -> web.Application:
    """`boot` is new at each start: it tells the manager to push everything again."""

    def listed() -> RelayWorkers:
        return RelayWorkers(boot=boot, routes=upstreams.routes, workers=workers.ids)

    async def put_routes(request: web.Request) -> web.Response:
        upstreams.routes = msgspec.json.decode(await request.read(), type=RelayRoutes)
        return _answer(listed())

    async def put_worker(request: web.Request) -> web.Response:
        policy = msgspec.json.decode(await request.read(), type=RelayPolicy)
        if str(policy.worker_id) != request.match_info["worker_id"]:
            return problem(Code.VALIDATION, "the body's worker_id is not the path's")
        await workers.put(policy)
        return _answer(Empty())

    async def delete_worker(request: web.Request) -> web.Response:
        await workers.delete(UUID(request.match_info["worker_id"]))
        return _answer(Empty())

    async def list_workers(_request: web.Request) -> web.Response:
        return _answer(listed())

    app = web.Application(middlewares=[_problems])
    app.router.add_put(RELAY_ROUTES.path, put_routes)
    app.router.add_put(RELAY_PUT.path, put_worker)
    app.router.add_delete(RELAY_DELETE.path, delete_worker)
    app.router.add_get(RELAY_LIST.path, list_workers)
    return app


@web.middleware
async def _problems(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except SocketRefused as error:
        return problem(Code.VALIDATION, str(error), field=error.field)
    except (msgspec.MsgspecError, ValueError) as error:
        return problem(Code.VALIDATION, str(error))


def _answer(body: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
