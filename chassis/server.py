"""Runs an ASGI app on a port or a Unix socket until it is told to stop, and lets it end well."""

import asyncio
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import h11
import uvicorn
from litestar.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from wsproto.events import Ping

from chassis.listening import BACKLOG, PortTaken, bind
from chassis.logs import get_logger

__all__ = ["PortTaken", "bind", "serve", "serve_async"]

MESSAGE_BYTES = 128 * 1024
"""Of one WebSocket message that comes in."""

PING_SECONDS = 20.0
PONG_SECONDS = 60.0
"""A client on a slow line has so long to take what comes before a ping; then it is given up."""

LAST_SECONDS = 15.0
"""For a client to take the last of a WebSocket, its close included; then the connection is cut."""

KEEP_IDLE_SECONDS = 75
"""Longer than `chassis.client` does."""

HEAD_SECONDS = 30.0
"""For a connection's first request line and headers, and for those of each later request."""

UNREAD_BYTES = 1024 * 1024
UNREAD_SECONDS = 5.0
"""What is still taken of a body after its answer, so that the answer arrives; then it is cut off:
uvicorn itself would read on for as long as somebody sends.
"""

_log = get_logger()


def serve(
    app: ASGIApp,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    uds: str | None = None,
    graceful_seconds: float = 10.0,
    on_stop: Callable[[], None] | None = None,
    websockets: bool = False,
) -> None:
    """Until SIGTERM or SIGINT. Raises `PortTaken` before anything has started."""
    listener = bind(host=host, port=port, uds=uds)
    asyncio.run(
        _serve_until_signal(app, listener, graceful_seconds, on_stop, websockets=websockets)
    )


async def serve_async(
    app: ASGIApp,
    *,
    listener: socket.socket,
    stop: asyncio.Event,
    graceful_seconds: float = 10.0,
    on_stop: Callable[[], None] | None = None,
    websockets: bool = False,
) -> None:
    """Until `stop` is set; then it accepts nothing more, calls `on_stop` (there open streams are
    told to end), waits `graceful_seconds` for what is under way, and runs the app's shutdown.
    WebSockets are closed with 1012 (service restart).
    """
    config = uvicorn.Config(
        cast("Any", app),  # Litestar's and uvicorn's ASGI types differ in name only
        http=_Protocol,
        ws=_Socket if websockets else "none",
        ws_max_size=MESSAGE_BYTES,
        ws_ping_interval=PING_SECONDS,
        ws_ping_timeout=PONG_SECONDS,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="on",
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_IDLE_SECONDS,
        timeout_graceful_shutdown=int(graceful_seconds),
    )
    server = _Server(config)
    path = listener.getsockname() if listener.family == socket.AF_UNIX else None
    watcher = asyncio.create_task(_end(server, stop, on_stop))
    try:
        await server.serve(sockets=[listener])
    finally:
        watcher.cancel()
        if path is not None:
            await asyncio.to_thread(Path(path).unlink, missing_ok=True)


class _Protocol(H11Protocol):
    """Also ends a connection on which no whole head arrives, or on which a body goes on that was
    answered already: uvicorn itself would wait for ever.
    """

    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    _unread = 0
    _upgraded = False

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_arrived()
        self._all_read()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self.transport.close)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._head_arrived()
        self._upgraded = True
        super().handle_websocket_upgrade(event)

    def data_received(self, data: bytes) -> None:
        if self._unread_timer is not None:
            self._unread += len(data)
            if self._unread > UNREAD_BYTES:
                self.transport.close()
                return
        super().data_received(data)
        if self.conn.their_state is not h11.SEND_BODY:
            self._all_read()
        if self._upgraded:
            return  # the connection is another protocol's
        cycle = cast("RequestResponseCycle | None", self.cycle)
        if cycle is not None and not cycle.response_complete:
            self._head_arrived()
        elif self._head_timer is None:
            self._expect_head()

    def _all_read(self) -> None:
        self._unread = 0
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _head_arrived(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class _Socket(WSProtocol):
    """Also bounds what a client that takes nothing costs: uvicorn itself would keep its connection
    for as long as the client does, and an answer to each of its pings.
    """

    _last_timer: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._last_timer is not None:
            self._last_timer.cancel()
        super().connection_lost(exc)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        if self in self.connections:
            self._last_timer = self.loop.call_later(LAST_SECONDS, self.transport.abort)

    def handle_ping(self, event: Ping) -> None:
        if self.writable.is_set():
            super().handle_ping(event)


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for one in sockets or []:
            name: str | tuple[str, int] = one.getsockname()
            address = name if isinstance(name, str) else f"{name[0]}:{name[1]}"
            _log.info("serving", address=address)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Leaves signals alone: uvicorn would raise them again when all has ended well."""
        yield


async def _serve_until_signal(
    app: ASGIApp,
    listener: socket.socket,
    graceful_seconds: float,
    on_stop: Callable[[], None] | None,
    *,
    websockets: bool,
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve_async(
        app,
        listener=listener,
        stop=stop,
        graceful_seconds=graceful_seconds,
        on_stop=on_stop,
        websockets=websockets,
    )


async def _end(
    server: uvicorn.Server, stop: asyncio.Event, on_stop: Callable[[], None] | None
) -> None:
    await stop.wait()
    try:
        if on_stop is not None:
            on_stop()
    finally:
        server.should_exit = True
