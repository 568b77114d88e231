"""A bound socket and its HTTP server, with what one session may take of us at most."""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from executor_manager.relay.opening import Opening, TunnelHandler
from executor_manager.relay.sockets import BACKLOG, bind_for_owner, remove_socket

LINE_BYTES = 8190
LINES = 100
AHEAD = 2
"""Requests of one connection that were sent before their turn, and wait with their heads."""
TUNNEL_HEAD_BYTES = 16 * 1024
"""Of the whole head; and what of a tunnel's is read before its other side takes it, twice that."""
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
    """Tunnels too."""
    _opening: set[Opening]
    _close_seconds: float

    async def unbind(self) -> None:
        """Nobody reaches it any more; what is under way goes on."""
        self._listener.close()
        await asyncio.to_thread(remove_socket, self.path)

    async def shutdown(self) -> None:
        for opening in list(self._opening):
            opening.abort()
        if not self._close_seconds:
            # while their connections are still there: so they can tell who ended them
            for request in self._requests:
                request.cancel()
        await self._server.shutdown(self._close_seconds or ENDING_SECONDS)


class _Server(web.Server):
    """Knows of connections from the moment they are accepted, not only when they are served."""

    count = 0

    def __call__(self) -> web.RequestHandler:
        handler = super().__call__()
        # by default 32 wait, each with a head of up to LINES * LINE_BYTES
        setattr(handler, "_max_msg_queue_size", AHEAD)  # noqa: B010  # it has no public name
        setattr(handler, "_msg_queue_resume_size", AHEAD - 1)  # noqa: B010  # nor has this
        return handler

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


async def open_face(
    path: Path, mode: int, handler: Handler, bounds: Bounds, tunnel: TunnelHandler | None = None
) -> Face:
    """Raises `SocketRefused`. Without `tunnel` a `CONNECT` is a request like any other."""
    listening = await asyncio.to_thread(bind_for_owner, path, mode)
    requests: set[asyncio.Task[Any]] = set()
    opening: set[Opening] = set()
    server = _http_server(handler, bounds, requests)

    def accept() -> asyncio.Protocol:
        if server.count >= bounds.connections:
            return _Full()
        server.count += 1
        if tunnel is None:
            return server()
        return _opening(server, tunnel, bounds, requests, opening)

    listener = await asyncio.get_running_loop().create_unix_server(
        accept, sock=listening, backlog=ACCEPTED_AT_ONCE
    )
    listening.listen(BACKLOG)  # the backlog above is also how many are accepted in one turn
    return Face(path, server, listener, requests, opening, bounds.close_seconds)


def _http_server(handler: Handler, bounds: Bounds, requests: set[asyncio.Task[Any]]) -> _Server:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        with _noted(requests):
            return await handler(request)

    return _Server(
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


def _opening(
    server: _Server,
    tunnel: TunnelHandler,
    bounds: Bounds,
    requests: set[asyncio.Task[Any]],
    opening: set[Opening],
) -> Opening:
    def http() -> asyncio.Protocol:
        opening.discard(new)
        return server()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        opening.discard(new)
        task = asyncio.ensure_future(tunnel((reader, writer)))
        requests.add(task)
        task.add_done_callback(requests.discard)

    def lost() -> None:
        opening.discard(new)
        server.count -= 1

    new = Opening(
        http=http,
        tunnel=begin,
        lost=lost,
        head_seconds=bounds.head_seconds,
        limit=TUNNEL_HEAD_BYTES,
    )
    opening.add(new)
    return new


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
