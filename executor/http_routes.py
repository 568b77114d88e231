"""Requests to routes: decoded by their endpoint's types, errors told as problem details.

What surrounds each request is as in every service: trace and request id in and out, a span, a line
in the log.
"""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar
from urllib.parse import unquote_to_bytes

import msgspec

from chassis.duplex import Duplex
from chassis.errors import BerthError
from chassis.ids import new_id
from chassis.logs import bound, get_logger
from chassis.rendering import MEDIA_TYPE, error_of, headers_of, problem_of, refused_body
from chassis.telemetry import current_trace_id, span, use_traceparent
from contracts.endpoint import Endpoint
from contracts.errors import Code
from contracts.wire import Empty

Req = TypeVar("Req")
Res = TypeVar("Res")

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")

_log = get_logger()


class Request(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    """Names in lower case."""
    body: bytes = b""
    content: AsyncIterator[bytes] | None = None
    """Of a route that takes its body as it comes. Raises `BerthError` where it ends too early, is
    too large or too slow."""
    left: Callable[[], Awaitable[None]] | None = None
    """Returns when whoever asked has gone; for work that nobody else wants."""

    def parameters(self) -> dict[str, bytes]:
        """Raises `BerthError` for one that is there more than once."""
        found: dict[str, bytes] = {}
        for part in self.query.split("&") if self.query else []:
            name, _, value = part.partition("=")
            if name in found:
                expected = "once in the query"
                detail = f"{name}: expected {expected}"
                raise BerthError(Code.VALIDATION, detail, field=name, expected=expected)
            found[name] = unquote_to_bytes(value.replace("+", " "))
        return found


class Chunks(Protocol):
    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


class Stream(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes that are made while they are sent: exactly `size` of them, or the answer is cut."""

    size: int | None
    """None: nobody knows before; then the end is told."""
    chunks: Chunks


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    status: int = 200
    headers: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    body: bytes | Stream = b""
    talk: Callable[[Duplex], Awaitable[None]] | None = None
    """Set: the request becomes a WebSocket, and this is done with it."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """`request` and `response` are an endpoint's types; both None for one that moves bytes."""

    method: str
    path: str
    request: type[Any] | None = None
    response: type[Any] | None = None
    handle: Callable[[Request], Awaitable[Answer]]
    streamed: bool = False
    """It takes its body as it comes."""


def typed(endpoint: Endpoint[Req, Res], call: Callable[[Req], Awaitable[Res]]) -> Route:
    async def handle(request: Request) -> Answer:
        answer = await call(_decoded(endpoint, request))
        return Answer(
            headers={"content-type": "application/json"}, body=msgspec.json.encode(answer)
        )

    return Route(
        method=endpoint.method,
        path=endpoint.path,
        request=endpoint.request,
        response=endpoint.response,
        handle=handle,
    )


class Router:
    """Answers every request, also with what went wrong."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self.routes = tuple(routes)

    def streams(self, method: str, path: str) -> bool:
        return any(one.streamed for one in self.routes if (one.method, one.path) == (method, path))

    async def __call__(self, request: Request) -> Answer:
        started = time.perf_counter()
        sent_id = request.headers.get("x-request-id", "")
        request_id = sent_id if _REQUEST_ID.fullmatch(sent_id) else str(new_id())
        with (
            use_traceparent(request.headers.get("traceparent")),
            span(f"{request.method} {self._template(request)}") as current,
            bound(request=request_id),
        ):
            answer = await self._answer(request)
            current.set_attribute("http.response.status_code", answer.status)
            # a manager looks at the status all the time
            tell = _log.debug if request.method == "GET" and answer.status < 400 else _log.info
            tell(
                "request",
                method=request.method,
                path=request.path,
                status=answer.status,
                ms=round((time.perf_counter() - started) * 1000, 1),
            )
            own = {"x-trace-id": current_trace_id(), "x-request-id": request_id}
        return msgspec.structs.replace(answer, headers={**answer.headers, **own})

    async def _answer(self, request: Request) -> Answer:
        try:
            return await self._route(request).handle(request)
        except Exception as error:  # noqa: BLE001  # the top of a request
            return problem_answer(error_of(error))

    def _route(self, request: Request) -> Route:
        """Raises `BerthError`."""
        at_path = [route for route in self.routes if route.path == request.path]
        if not at_path:
            raise BerthError(Code.NOT_FOUND, "there is no such route")
        for route in at_path:
            if route.method == request.method:
                return route
        raise BerthError(
            Code.METHOD_NOT_ALLOWED, f"{request.method} is not served here: {at_path[0].method} is"
        )

    def _template(self, request: Request) -> str:
        known = any(route.path == request.path for route in self.routes)
        return request.path if known else "other"


def problem_answer(error: BerthError) -> Answer:
    problem = problem_of(error)
    return Answer(
        status=problem.status,
        headers={"content-type": MEDIA_TYPE, **headers_of(error)},
        body=msgspec.json.encode(problem),
    )


def _decoded(endpoint: Endpoint[Req, Any], request: Request) -> Req:
    """Raises `BerthError`."""
    if endpoint.request is Empty:
        return endpoint.request()
    kind = request.headers.get("content-type", "")
    if "json" not in kind:
        detail = f"the body is {kind or 'of no content type'}, not application/json"
        raise BerthError(Code.UNSUPPORTED_MEDIA, detail)
    try:
        return msgspec.json.decode(request.body, type=endpoint.request)
    except msgspec.MsgspecError as error:
        raise refused_body(error) from error
