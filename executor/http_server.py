"""The executor's HTTP server, on one Unix socket: small enough to be there at once.

A connection is served as long as it is asked on; each of its waits is bounded. At the end nothing
more is accepted, idle connections are closed, and what is under way has a while to finish.
"""

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path

import h11
import msgspec

from chassis.duplex import Duplex
from chassis.errors import BerthError
from chassis.listening import BACKLOG
from chassis.logs import get_logger
from contracts.errors import Code
from executor.http_routes import Answer, Request, Stream, problem_answer
from executor.http_wire import CHUNK_BYTES, TooLarge, Wire, fields_of

HEAD_SECONDS = 30.0
"""For a connection's first request line and headers."""

KEEP_IDLE_SECONDS = 75.0
"""For those of each later request: longer than `chassis.client` keeps an idle connection."""

BODY_SECONDS = 30.0

SEND_SECONDS = 30.0
"""Until whoever asked has taken up to `CHUNK_BYTES` of the answer."""

BODY_BYTES = 10_000_000
STREAM_BYTES = 8 * 1024 * 1024 * 1024
"""Of a body that is taken as it comes; each of its pieces has `BODY_SECONDS`."""

LINGER_SECONDS = 10.0
"""After a refusal in the middle of a body: whoever sends it must see the answer first."""

Handler = Callable[[Request], Awaitable[Answer]]
Talk = Callable[[Duplex], Awaitable[None]]

_log = get_logger()


class Server:
    """`streams(method, path)` says which bodies are not read before the handler is asked."""

    def __init__(
        self, handler: Handler, streams: Callable[[str, str], bool] = lambda _method, _path: False
    ) -> None:
        self._handler = handler
        self._streams = streams
        self._server: asyncio.Server | None = None
        self._path = Path()
        self._idle: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()
        self._ending = False

    async def open(self, listener: socket.socket) -> None:
        self._path = Path(listener.getsockname())
        self._server = await asyncio.start_unix_server(
            self._connected, sock=listener, limit=CHUNK_BYTES, backlog=BACKLOG
        )

    async def end(self, graceful_seconds: float) -> None:
        """Accepts nothing more, and removes the socket. What is under way may finish meanwhile."""
        if self._ending or self._server is None:
            return
        self._ending = True
        self._server.close()
        for task in self._idle:
            task.cancel()
        if self._busy:
            await asyncio.wait(self._busy, timeout=graceful_seconds)
        left = self._idle | self._busy
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.to_thread(self._path.unlink, missing_ok=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._ending:
            writer.close()
            return
        # in a task of its own: the stream's is none of ours to cancel
        task = asyncio.create_task(self._talk(Wire(reader, writer, h11.SERVER)))
        self._idle.add(task)
        task.add_done_callback(self._over)

    async def _talk(self, wire: Wire) -> None:
        try:
            # whoever asked went away, was too slow (TimeoutError is an OSError) or sends no HTTP
            with suppress(OSError, h11.ProtocolError):
                await self._requests(wire)
        except Exception:  # noqa: BLE001  # the top of a connection
            _log.exception("connection_failed")
        finally:
            wire.close()

    async def _requests(self, wire: Wire) -> None:
        seconds = HEAD_SECONDS
        while (head := await _head(wire, seconds)) is not None:
            self._occupy(asyncio.current_task())
            await self._exchange(wire, head)
            if self._ending or not wire.again():
                return
            self._relieve(asyncio.current_task())
            seconds = KEEP_IDLE_SECONDS

    async def _exchange(self, wire: Wire, head: h11.Request) -> None:
        path, _, query = head.target.decode("ascii").partition("?")
        request = Request(
            method=head.method.decode("ascii"),
            path=path,
            query=query,
            headers=fields_of(head),
            left=wire.departure,
        )
        if self._streams(request.method, path):
            await self._exchange_stream(wire, request)
            return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await wire.body(head, limit=BODY_BYTES)
        except TooLarge as error:
            refusal = problem_answer(BerthError(Code.TOO_LARGE, str(error)))
            await _send(wire, refusal, last=True)
            return
        answer = await self._handler(msgspec.structs.replace(request, body=body))
        if answer.talk is not None:
            await self._talk_on(wire, head, answer.talk)
        else:
            await _send(wire, answer, last=self._ending)

    async def _exchange_stream(self, wire: Wire, request: Request) -> None:
        content = _content(wire)
        async with aclosing(content):
            answer = await self._handler(msgspec.structs.replace(request, content=content))
        unread = wire.unread
        await _send(wire, answer, last=self._ending or unread)
        if unread:
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS):
                    await wire.pass_over()

    async def _talk_on(self, wire: Wire, head: h11.Request, talk: Talk) -> None:
        """A WebSocket has no end of its own to wait for: the server's end cuts it."""
        task = asyncio.current_task()
        async with asyncio.timeout(SEND_SECONDS):
            socket = await wire.upgraded(head)
        if task is not None:
            self._busy.discard(task)
            self._idle.add(task)
        await talk(socket)

    def _occupy(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            self._idle.discard(task)
            self._busy.add(task)

    def _relieve(self, task: asyncio.Task[None] | None) -> None:
        if task is not None:
            self._busy.discard(task)
            self._idle.add(task)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._idle.discard(task)
        self._busy.discard(task)


async def _content(wire: Wire) -> AsyncGenerator[bytes]:
    """A body's pieces. Raises `BerthError`."""
    size = 0
    while wire.unread:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                event = await wire.event()
        except TimeoutError as error:
            detail = f"the body was silent for {BODY_SECONDS:g} s"
            raise BerthError(Code.VALIDATION, detail, field="body", expected="a body") from error
        except (OSError, h11.RemoteProtocolError) as error:
            detail = "the body ended before its end"
            raise BerthError(Code.VALIDATION, detail, field="body", expected="all of it") from error
        if isinstance(event, h11.Data):
            size += len(event.data)
            if size > STREAM_BYTES:
                raise BerthError(Code.TOO_LARGE, f"a body has at most {STREAM_BYTES} bytes")
            yield bytes(event.data)


async def _head(wire: Wire, seconds: float) -> h11.Request | None:
    """None at the connection's end."""
    try:
        async with asyncio.timeout(seconds):
            event = await wire.event()
    except h11.RemoteProtocolError as error:
        code = Code.TOO_LARGE if error.error_status_hint == 431 else Code.VALIDATION
        await _send(wire, problem_answer(BerthError(code, f"no HTTP request: {error}")), last=True)
        return None
    return event if isinstance(event, h11.Request) else None


async def _send(wire: Wire, answer: Answer, *, last: bool) -> None:
    """`last`: nothing more is served on this connection."""
    body = answer.body
    size = body.size if isinstance(body, Stream) else len(body)
    headers = [*answer.headers.items()]
    if size is not None:
        headers.append(("content-length", str(size)))
    if last:
        headers.append(("connection", "close"))
    head = h11.Response(status_code=answer.status, headers=headers)
    if isinstance(body, Stream):
        await _send_stream(wire, head, body)
        return
    async with asyncio.timeout(SEND_SECONDS):
        await wire.send(head, h11.Data(data=body), h11.EndOfMessage())


async def _send_stream(wire: Wire, head: h11.Response, body: Stream) -> None:
    async with aclosing(body.chunks) as chunks:
        await wire.send(head)
        async for chunk in chunks:
            async with asyncio.timeout(SEND_SECONDS):
                await wire.send(h11.Data(data=chunk))
    # refused here, and the connection cut, if it was not all that was announced
    await wire.send(h11.EndOfMessage())
