"""What happens around every request: trace and request id, span, metrics, log line."""

import re
import time
from typing import Any, cast

from litestar.datastructures import Headers
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from chassis.ids import new_id
from chassis.logs import bound, get_logger
from chassis.metrics import Metrics
from chassis.problems import known_error, send_problem
from chassis.telemetry import current_trace_id, span, use_traceparent

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROBES = frozenset({"/healthz", "/readyz", "/metrics", "/api/v1/healthz"})

_log = get_logger()


class _Exchange:
    """One request, and what is known of its answer so far."""

    def __init__(self, scope: Scope, send: Send, request_id: str) -> None:
        self._scope = cast("dict[str, Any]", scope)
        self._send = send
        self._request_id = request_id
        self.started_at = time.perf_counter()
        self.status = 0
        """0: no answer, the client left first."""

    @property
    def route(self) -> str:
        # Litestar sets it; a path with ids in it would be a metric of its own
        return str(self._scope.get("path_template", "other"))

    async def send(self, message: Message) -> None:
        if message["type"] == "websocket.accept":
            self.status = 101
        elif message["type"] == "websocket.http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message["headers"],
                (b"x-trace-id", current_trace_id().encode()),
                (b"x-request-id", self._request_id.encode()),
            ]
        await self._send(message)


class RequestScope:
    """Pure ASGI, around a whole app: what its router refuses is traced and logged too."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers.from_scope(scope)
        sent_id = headers.get("x-request-id", "")
        request_id = sent_id if _REQUEST_ID.fullmatch(sent_id) else str(new_id())
        exchange = _Exchange(scope, send, request_id)
        cast("dict[str, Any]", scope).setdefault("state", {})["request_id"] = request_id
        method = scope["method"] if scope["type"] == "http" else "WEBSOCKET"
        with use_traceparent(headers.get("traceparent")), span(method) as current:
            try:
                with bound(request=request_id):
                    await self._answer(scope, receive, exchange)
            finally:
                current.update_name(f"{method} {exchange.route}")
                current.set_attribute("http.response.status_code", exchange.status)
                self._account(scope, method, exchange)

    async def _answer(self, scope: Scope, receive: Receive, exchange: _Exchange) -> None:
        try:
            await self._app(scope, receive, exchange.send)
        except Exception as error:  # noqa: BLE001  # the top of a request
            known = known_error(error)
            # an answer under way cannot be replaced: the server cuts the connection
            if not exchange.status and scope["type"] == "http":
                await send_problem(exchange.send, known)

    def _account(self, scope: Scope, method: str, exchange: _Exchange) -> None:
        seconds = time.perf_counter() - exchange.started_at
        label = method if method in _METHODS else "other"
        self._metrics.http_seconds.labels(label, exchange.route, str(exchange.status)).observe(
            seconds
        )
        path = scope["path"]
        tell = _log.debug if path in _PROBES and exchange.status < 400 else _log.info
        # without the query: it may hold a ticket
        tell(
            "request",
            method=method,
            path=path,
            status=exchange.status,
            ms=round(seconds * 1000, 1),
        )
