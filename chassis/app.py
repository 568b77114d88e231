"""The frame of every service's app: errors, traces, health, metrics, limits; its server."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from litestar import Litestar, Request, Response
from litestar.config.cors import CORSConfig
from litestar.connection import ASGIConnection
from litestar.datastructures import State
from litestar.di import Provide
from litestar.handlers import BaseRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.types import ControllerRouterHandler, LifespanHook, Middleware

from chassis.health import Check, health_routes
from chassis.metrics import Metrics
from chassis.problems import handle_exception
from chassis.requests import RequestScope
from chassis.server import PortTaken, bind, serve, serve_async
from chassis.version import VERSION

__all__ = ["VERSION", "PortTaken", "bind", "build_litestar", "serve", "serve_async"]

Guard = Callable[[ASGIConnection[Any, Any, Any, Any], BaseRouteHandler], Awaitable[None]]

ErrorHandler = Callable[[Request[Any, Any, Any], Exception], Response[bytes]]

EXPOSED_HEADERS = [
    "X-Trace-ID",
    "X-Request-ID",
    "Berth-Snapshot",
    "Berth-Workspace",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Location",
    "Retry-After",
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
]
"""What a browser's script may read from another origin."""


def build_litestar(
    *,
    service: str,
    route_handlers: Sequence[ControllerRouterHandler],
    checks: Mapping[str, Check] | None = None,
    metrics: Metrics | None = None,
    version: str = VERSION,
    lifespan: Sequence[Callable[[Litestar], AbstractAsyncContextManager[None]]] = (),
    on_startup: Sequence[LifespanHook] = (),
    on_shutdown: Sequence[LifespanHook] = (),
    dependencies: Mapping[str, Provide] | None = None,
    guards: Sequence[Guard] = (),
    error_handlers: Mapping[type[Exception], ErrorHandler] | None = None,
    middleware: Sequence[Middleware] = (),
    state: State | None = None,
    openapi_config: OpenAPIConfig | None = None,
    body_limit: int = 10_000_000,
    cors_origins: Sequence[str] = (),
    debug: bool = False,
) -> Litestar:
    """`checks` are what `/readyz` asks; `body_limit` is in bytes, and a route may set its own."""
    metrics = metrics or Metrics()
    health = health_routes(service=service, version=version, checks=checks or {}, metrics=metrics)
    cors = CORSConfig(allow_origins=list(cors_origins), expose_headers=EXPOSED_HEADERS)
    handlers: Any = {Exception: handle_exception, **(error_handlers or {})}
    app = Litestar(
        route_handlers=[*health, *route_handlers],
        lifespan=list(lifespan),
        on_startup=list(on_startup),
        on_shutdown=list(on_shutdown),
        dependencies=dict(dependencies or {}),
        guards=list(guards),
        middleware=list(middleware),
        exception_handlers=handlers,
        state=state,
        openapi_config=openapi_config,
        request_max_body_size=body_limit,
        cors_config=cors if cors_origins else None,
        logging_config=None,
        debug=debug,
    )
    # Litestar runs `middleware=` only for routes that it found; this is for every request
    app.asgi_handler = RequestScope(app.asgi_handler, metrics)
    return app
