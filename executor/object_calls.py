"""Objects over HTTP/1.1: large bodies, copied as rarely as can be.

Heads are h11's. A body is sent from where it lies and received into where it is to be; connections
are kept and used again. See `executor.http_calls` for why one request may be made twice.
"""

import asyncio
import socket
import time
from collections.abc import Mapping

import h11
import msgspec

from chassis.calls import Unreachable, Unreadable

CONNECT_SECONDS = 3.0
KEEP_IDLE_SECONDS = 20.0
"""Less than a server keeps an idle connection, or calls meet its end."""
KEPT = 8
HEAD_BYTES = 16 * 1024
RECEIVE_BYTES = 64 * 1024
"""Asked for at first: an answer's head, and what of its body came along."""
SMALL_BYTES = 32 * 1024
"""A body that a socket takes at once."""
BUFFER_BYTES = 1024 * 1024
"""Of the kernel, as far as it grants them: fewer turns of the loop for each object."""

Address = str | tuple[str, int]
"""A Unix socket's path, or a host and port."""
Content = bytes | bytearray | memoryview


class Object(msgspec.Struct, frozen=True):
    """An answer."""

    status: int
    content: bytearray


class _Lost(Exception):
    """A used connection that ended before a byte of the answer."""


class ObjectCalls:
    def __init__(self, address: Address) -> None:
        self._address = address
        self._kept: list[tuple[socket.socket, float]] = []

    async def put(self, target: str, headers: Mapping[str, str], content: Content) -> Object:
        """Raises `Unreachable`, `Unreadable`."""
        sized = {**headers, "content-length": str(len(content))}
        return await self._exchange(_head("PUT", target, sized), content, SMALL_BYTES * 2)

    async def get(self, target: str, headers: Mapping[str, str], *, limit: int) -> Object:
        """Raises `Unreachable`, `Unreadable`; this also for a body of more than `limit` bytes."""
        return await self._exchange(_head("GET", target, headers), b"", limit)

    async def aclose(self) -> None:
        for kept, _ in self._kept:
            kept.close()
        self._kept.clear()

    async def _exchange(self, head: h11.Request, content: Content, limit: int) -> Object:
        while (kept := self._take()) is not None:
            try:
                return await self._once(kept, head, content, limit)
            except _Lost:
                continue
        try:
            return await self._once(await self._connect(), head, content, limit)
        except _Lost as error:
            raise Unreachable(str(error)) from error

    def _take(self) -> socket.socket | None:
        while self._kept:
            kept, since = self._kept.pop()
            if time.monotonic() - since < KEEP_IDLE_SECONDS:
                return kept
            kept.close()
        return None

    async def _connect(self) -> socket.socket:
        is_path = isinstance(self._address, str)
        made = socket.socket(socket.AF_UNIX if is_path else socket.AF_INET)
        made.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            made.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().sock_connect(made, self._address)
        except BaseException as error:
            made.close()
            if isinstance(error, OSError):  # a TimeoutError is one
                raise Unreachable(repr(error)) from error
            raise
        return made

    async def _once(
        self, connection: socket.socket, head: h11.Request, content: Content, limit: int
    ) -> Object:
        keep = False
        answering = _Answering(connection, limit)
        try:
            answer = await _exchanged(connection, answering, head, content)
        except (OSError, h11.ProtocolError) as error:
            if not answering.heard:
                raise _Lost(repr(error)) from error
            raise Unreachable(repr(error)) from error
        else:
            keep = answering.keep and len(self._kept) < KEPT
            return answer
        finally:
            if keep:
                self._kept.append((connection, time.monotonic()))
            else:
                connection.close()


async def _exchanged(
    connection: socket.socket, answering: "_Answering", head: h11.Request, content: Content
) -> Object:
    loop = asyncio.get_running_loop()
    opening = answering.http.send(head) or b""
    if len(content) <= SMALL_BYTES:
        await loop.sock_sendall(connection, opening + content)
        return await answering.answer()

    async def send() -> None:
        await loop.sock_sendall(connection, opening)
        await loop.sock_sendall(connection, content)

    # listened to while it is sent: a refusal may come before all of it was taken
    sending = asyncio.create_task(send())
    try:
        return await answering.answer()
    finally:
        if not sending.done():
            answering.keep = False
        sending.cancel()
        await asyncio.wait({sending})
        if not sending.cancelled() and sending.exception() is not None:
            answering.keep = False


class _Answering:
    def __init__(self, connection: socket.socket, limit: int) -> None:
        self.http = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES)
        self.heard = False
        """A byte has come in."""
        self.keep = False
        """Another request may follow on this connection."""
        self._connection = connection
        self._limit = limit
        self._loop = asyncio.get_running_loop()

    async def answer(self) -> Object:
        """Raises `Unreadable`, `h11.RemoteProtocolError`, `OSError`."""
        head = await self._head()
        fields = {name.decode("ascii"): value for name, value in head.headers}
        length = fields.get("content-length")
        if "transfer-encoding" in fields or length is None:
            return Object(head.status_code, await self._unmeasured())
        if int(length) > self._limit:
            raise Unreadable(f"the answer has a body of more than {self._limit} bytes")
        content = await self._measured(int(length))
        self.keep = head.http_version == b"1.1" and fields.get("connection", b"") != b"close"
        return Object(head.status_code, content)

    async def _head(self) -> h11.Response:
        while True:
            event = await self._event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("closed before an answer")

    async def _measured(self, length: int) -> bytearray:
        content = bytearray(length)
        view = memoryview(content)
        came, _ = self.http.trailing_data
        if len(came) > length:
            raise h11.RemoteProtocolError("more came than was asked for")
        view[: len(came)] = came
        done = len(came)
        while done < length:
            got = await self._loop.sock_recv_into(self._connection, view[done:])
            if not got:
                raise h11.RemoteProtocolError("closed in the middle of an answer")
            done += got
        return content

    async def _unmeasured(self) -> bytearray:
        """In chunks, or to the end of the connection."""
        content = bytearray()
        while isinstance(event := await self._event(), h11.Data):
            content += event.data
            if len(content) > self._limit:
                raise Unreadable(f"the answer has a body of more than {self._limit} bytes")
        return content

    async def _event(self) -> h11.Event:
        while (event := self.http.next_event()) is h11.NEED_DATA:
            received = await self._loop.sock_recv(self._connection, RECEIVE_BYTES)
            self.heard = self.heard or bool(received)
            self.http.receive_data(received)
        if isinstance(event, type):
            raise h11.RemoteProtocolError("more came than was asked for")
        return event


def _head(method: str, target: str, headers: Mapping[str, str]) -> h11.Request:
    named = {"host": "relay", **{name.lower(): value for name, value in headers.items()}}
    return h11.Request(method=method, target=target, headers=list(named.items()))
