"""A bound socket and its HTTP server, with what one session may take of us at most."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from executor_manager.relay.sockets import BACKLOG, bind_for_owner, remove_socket

LINE_BYTES = 8190
LINES = 100
ACCEPTED_AT_ONCE = 8
"""Of one socket, before the others have their turn."""
ENDING_SECONDS = 0.2
LINGERING_SECONDS = 2.0
"""For the rest of a body that nobody reads."""

_FULL = (
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
    b"Connection: close\r\n\r\n"
)

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    connections: int
    head_seconds: float
    close_seconds: float
    """How long requests that are under way may go on when the socket is closed; 0: they are cut."""
    follow_client: bool
    """A client that goes away ends what is done for it."""


@dataclass(frozen=True, slots=True)
class Face:
    path: Path
    _server: web.Server
    _listener: asyncio.Server
    _requests: set[asyncio.Task[Any]]
    _close_seconds: float

    async def unbind(self) -> None:
        """Nobody reaches it any more; what is under way goes on."""
        self._listener.close()
        await asyncio.to_thread(remove_socket, self.path)

    async def shutdown(self) -> None:
        if not self._close_seconds:
            # while their connections are still there: so they can tell who ended them
            for request in self._requests:
                request.cancel()
        await self._server.shutdown(self._close_seconds or ENDING_SECONDS)


class _Server(web.Server):
    """Knows of connections from the moment they are accepted, not only when they are served."""

    count = 0

    def counted(self) -> web.RequestHandler:
        self.count += 1
        return self()

    def connection_lost(
        self, handler: web.RequestHandler, exc: BaseException | None = None
    ) -> None:
        self.count -= 1
        super().connection_lost(handler, exc)


class _Full(asyncio.Protocol):
    """Answers a connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            transport.write(_FULL)
        transport.close()


async def open_face(path: Path, mode: int, handler: Handler, bounds: Bounds) -> Face:
    """Raises `SocketRefused`."""
    listening = await asyncio.to_thread(bind_for_owner, path, mode)
    requests: set[asyncio.Task[Any]] = set()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        with _noted(requests):
            return await handler(request)

    server = _Server(
        handle,
        handler_cancellation=bounds.follow_client,
        access_log=None,
        # bodies go on byte for byte: unpacked, one would outgrow the Content-Length that goes with
        # it, and its rest be read upstream as the next request
        auto_decompress=False,
        # counted from the connection on, and from an answer to the next request's head
        keepalive_timeout=bounds.head_seconds,
        max_line_size=LINE_BYTES,
        max_field_size=LINE_BYTES,
        max_headers=LINES,
        lingering_time=LINGERING_SECONDS,
    )

    def accept() -> asyncio.Protocol:
        return _Full() if server.count >= bounds.connections else server.counted()

    listener = await asyncio.get_running_loop().create_unix_server(
        accept, sock=listening, backlog=ACCEPTED_AT_ONCE
    )
    listening.listen(BACKLOG)  # the backlog above is also how many are accepted in one turn
    return Face(path, server, listener, requests, bounds.close_seconds)


@contextmanager
def _noted(requests: set[asyncio.Task[Any]]) -> Generator[None]:
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a request is handled in a task")
    requests.add(task)
    try:
        yield
    finally:
        requests.discard(task)
