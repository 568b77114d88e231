"""Lets the pages of configured origins call, and answers their browsers' questions."""

from collections.abc import Sequence

from litestar.datastructures import Headers
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from chassis.app import EXPOSED_HEADERS

_SENT_HEADERS = [
    b"accept",
    b"authorization",
    b"content-type",
    b"idempotency-key",
    b"if-match",
    b"if-none-match",
    b"last-event-id",
    b"prefer",
    b"range",
    b"traceparent",
    b"x-api-key",
    b"x-request-id",
]
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
    (b"access-control-allow-headers", b", ".join(_SENT_HEADERS)),
    (b"access-control-max-age", b"600"),
]


class Cors:
    """Keys travel in headers and never in cookies, so that credentials need no allowing."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers.from_scope(scope) if scope["type"] == "http" else Headers()
        origin = headers.get("origin", "")
        if not origin or not self._origins & {"*", origin}:
            await self._app(scope, receive, send)
            return
        allowed = _allowed(origin)
        if scope["type"] == "http" and "access-control-request-method" in headers:
            await send(
                {
                    "type": "http.response.start",
                    "status": 204,
                    "headers": [*allowed, *_PREFLIGHT],
                }
            )
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return

        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *allowed]
            await send(message)

        await self._app(scope, receive, wrapped)


def _allowed(origin: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-expose-headers", ", ".join(EXPOSED_HEADERS).encode()),
        (b"vary", b"Origin"),
    ]
