"""Wires the gateway: its own routes, the portal, and everything else to the control plane."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import aiohttp
from litestar import Litestar
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send, WebSocketScope

from chassis.app import build_litestar
from chassis.bridge import refuse
from chassis.client import ServiceClient
from chassis.clock import Clock, SystemClock
from chassis.errors import BerthError, DependencyUnavailable, NotFound
from chassis.metrics import Metrics
from chassis.rates import RateLimiter
from chassis.requests import RequestScope
from contracts.errors import Code
from gateway.admission import Admission
from gateway.auth import Callers
from gateway.cors import Cors
from gateway.paths import is_routed, of_worker
from gateway.routes import terminal
from gateway.routes.exec import Commands
from gateway.routes.files import Files
from gateway.routes.logs import Logs
from gateway.routes.portal import Portal
from gateway.routes.proxy import Proxy
from gateway.routes.terminal import Terminals
from gateway.settings import Settings
from gateway.tickets import Tickets
from gateway.visits import Visits

_OWN_PATHS = frozenset({"/healthz", "/readyz", "/metrics", "/api/v1/healthz"})

KEEP_IDLE_SECONDS = 60
"""Shorter than the control plane keeps an idle connection (`chassis.server`)."""


class Gateway:
    """An ASGI app. Its own few routes are Litestar's; the rest never sees it, for speed."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        metrics = Metrics()
        self._settings = settings
        self._clock = clock
        self._portal = Portal(settings.portal_dir) if settings.portal_dir else None
        self._proxy: Proxy | None = None
        self._files: Files | None = None
        self._logs: Logs | None = None
        self._commands: Commands | None = None
        self._terminals: Terminals | None = None
        self._upstream: aiohttp.ClientSession | None = None
        self._own = build_litestar(
            service="gateway",
            route_handlers=[],
            checks={"control_plane": self._check_control_plane},
            metrics=metrics,
            lifespan=[self._running],
        )
        self._answer: ASGIApp = Cors(RequestScope(self._front, metrics), settings.cors_origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        facts = cast("dict[str, Any]", scope)
        if facts["type"] == "lifespan" or facts["path"] in _OWN_PATHS:
            await self._own(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    def stop(self) -> None:
        """At once when a stop was asked for, before open requests are waited for."""
        if self._proxy is not None:
            self._proxy.stop()
        if self._terminals is not None:
            self._terminals.stop()

    async def _front(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._pass_socket(cast("WebSocketScope", scope), receive, send)
            return
        scope = cast("HTTPScope", scope)
        if is_routed(scope["raw_path"]):
            await self._pass(scope, receive, send)
        elif self._portal is not None:
            await self._portal(scope, send)
        else:
            raise NotFound(Code.NOT_FOUND, "there is nothing under this path")

    async def _pass(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        assert self._proxy is not None  # noqa: S101  # requests come after the startup
        assert self._files is not None  # noqa: S101  # as above
        assert self._logs is not None  # noqa: S101  # as above
        assert self._commands is not None  # noqa: S101  # as above
        match of_worker(scope["raw_path"]):
            case session_id, "workspace", operation if operation:
                await self._files(session_id, operation, scope, receive, send)
            case session_id, "logs", "":
                await self._logs(session_id, scope, receive, send)
            case session_id, "tty", "exec":
                await self._commands(session_id, scope, receive, send)
            case _, "tty", "":
                terminal.refuse_plain(scope)
            case _:
                await self._proxy(scope, receive, send)

    async def _pass_socket(self, scope: WebSocketScope, receive: Receive, send: Send) -> None:
        assert self._terminals is not None  # noqa: S101  # as above
        try:
            found = of_worker(scope["raw_path"]) if is_routed(scope["raw_path"]) else None
            if found is None or found[1:] != ("tty", ""):
                raise NotFound(Code.NOT_FOUND, "there is no WebSocket under this path")
        except BerthError as error:
            await receive()
            await refuse(send, error)
        else:
            await self._terminals(found[0], scope, receive, send)

    @asynccontextmanager
    async def _running(self, _app: Litestar) -> AsyncGenerator[None]:
        settings = self._settings
        control_plane = ServiceClient(
            settings.control_plane_url,
            key=settings.service_key,
            target="control_plane",
            clock=self._clock,
        )
        async with control_plane, _upstream_session(settings) as upstream:
            self._upstream = upstream
            admission = Admission(
                Callers(control_plane, settings.signing_key, self._clock),
                RateLimiter(self._clock),
                settings.requests_per_minute,
            )
            self._proxy = Proxy(settings, admission=admission, upstream=upstream)
            tickets = Tickets(control_plane)
            visits = Visits(settings, admission=admission, tickets=tickets, upstream=upstream)
            self._files = Files(settings, visits=visits, proxy=self._proxy)
            self._logs = Logs(visits)
            self._commands = Commands(visits)
            self._terminals = Terminals(settings, admission=admission, tickets=tickets)
            yield

    async def _check_control_plane(self) -> None:
        assert self._upstream is not None  # noqa: S101  # requests come after the startup
        how = "see that it runs, and that BERTH_CONTROL_PLANE_URL is right"
        try:
            url = self._settings.control_plane_url.rstrip("/") + "/readyz"
            async with self._upstream.get(url) as response:
                if response.status != 200:
                    how = f"it answers {response.status} on /readyz: see what it misses"
                    raise DependencyUnavailable("control_plane", how)
        except aiohttp.ClientError as error:
            raise DependencyUnavailable("control_plane", how) from error


def build_app(settings: Settings, clock: Clock | None = None) -> Gateway:
    return Gateway(settings, clock or SystemClock())


def _upstream_session(settings: Settings) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        # how long to wait for an answer is `gateway.exchange.Patience`'s business
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=settings.connect_seconds),
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_IDLE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=["Accept", "Accept-Encoding", "Content-Type", "User-Agent"],
        max_line_size=64 * 1024,
        max_field_size=64 * 1024,
        trust_env=False,
    )
