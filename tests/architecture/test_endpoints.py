"""Every endpoint of `contracts` has a route with its types, every internal route an endpoint."""

import re
from typing import Any, get_args, get_origin

from aiohttp import web
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from chassis.ids import new_id
from contracts.endpoint import Endpoint
from contracts.wire import Empty
from executor.http_routes import Router
from executor_manager.relay.policy import AskedUs, decide_control
from tests.architecture.test_wire import modules

Call = tuple[str, str]
"""Method and path."""

Types = tuple[Any, Any]
"""Of the body and of the answer."""


def endpoints() -> dict[str, Endpoint[Any, Any]]:
    return {
        name: value
        for module in modules()
        for name, value in vars(module).items()
        if isinstance(value, Endpoint)
    }


CONTROL_PLANE = {n: e for n, e in endpoints().items() if e.path.startswith("/internal/v1/")}
EXECUTOR = {n: e for n, e in endpoints().items() if n.startswith("EXECUTOR_")}
RELAY = {n: e for n, e in endpoints().items() if n.startswith("RELAY_")}
RELAY_CONTROL = {n: e for n, e in RELAY.items() if e.path.startswith("/relay/")}
"""On each worker's control socket, for its executor; the others are the admin socket's."""


def declared(some: dict[str, Endpoint[Any, Any]]) -> dict[Call, Types]:
    return {(e.method, e.path): (e.request, e.response) for e in some.values()}


def routed(app: Litestar) -> dict[Call, Types]:
    """`Empty` stands for no body."""
    return {
        (str(method), _plain(route.path)): (_body(handler), _answer(handler))
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
        if method != "OPTIONS"
    }


def _plain(path: str) -> str:
    """Without the types of its parts."""
    return re.sub(r"\{(\w+):\w+\}", r"{\1}", path)


def _body(handler: HTTPRouteHandler) -> Any:  # a type
    field = handler.parsed_data_field
    return Empty if field is None else field.annotation


def _answer(handler: HTTPRouteHandler) -> Any:  # a type
    annotation = handler.parsed_return_field.annotation
    wrapped = isinstance(get_origin(annotation), type) and issubclass(
        get_origin(annotation) or object, Response
    )
    return get_args(annotation)[0] if wrapped else annotation


def test_endpoints__each_belong_to_a_service() -> None:
    assert set(endpoints()) == {*CONTROL_PLANE, *EXECUTOR, *RELAY}


def test_control_plane__serves_its_endpoints(control_plane_app: Litestar) -> None:
    routes = routed(control_plane_app)
    wanted = declared(CONTROL_PLANE)
    assert {call: routes.get(call) for call in wanted} == wanted


AGENTS = tuple(f"/internal/v1/workers/{{worker_id}}/{way}/" for way in ("git", "models", "tools"))
"""What agents' own clients speak, in protocols that are not ours."""


def test_control_plane__has_no_internal_route_besides(control_plane_app: Litestar) -> None:
    internal = {call for call in routed(control_plane_app) if call[1].startswith("/internal")}
    ours = {call for call in internal if not call[1].startswith(AGENTS)}
    assert ours == set(declared(CONTROL_PLANE))
    assert internal - ours


def test_executor__serves_its_endpoints(executor_router: Router) -> None:
    routes = {(r.method, r.path): (r.request, r.response) for r in executor_router.routes}
    wanted = declared(EXECUTOR)
    assert {call: routes.get(call) for call in wanted} == wanted


def test_relay__serves_its_endpoints(relay_admin: web.Application) -> None:
    routes = {
        (route.method, route.resource.canonical)
        for route in relay_admin.router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    assert routes == set(declared(RELAY)) - set(declared(RELAY_CONTROL))


def test_relay__answers_executors_itself() -> None:
    for method, path in declared(RELAY_CONTROL):
        assert isinstance(decide_control(new_id(), method, path), AskedUs)


def test_calls__may_be_repeated_or_say_why_not() -> None:
    """The client retries idempotent calls only; ours are, by epochs, ids and cursors, but
    three: each ask issues another ticket, a ticket is redeemed once, and a command may do anything.
    """
    once = {name for name, endpoint in endpoints().items() if not endpoint.idempotent}
    assert once == {"ASK_TICKET", "REDEEM_TICKET", "EXECUTOR_EXEC"}
