"""Calls over a Unix socket, on a few connections that are kept and used again.

A kept connection may have been closed by the other side just before it was used: then the request
is made once more on a new one, if nothing of an answer had come and a repetition does no harm.
"""

import asyncio
import time

import h11

from chassis.calls import Incoming, Outgoing, Unreachable, Unreadable
from executor.http_wire import CHUNK_BYTES, TooLarge, Wire, fields_of

CONNECT_SECONDS = 3.0
KEEP_IDLE_SECONDS = 20.0
"""Less than a server keeps an idle connection, or calls meet its end."""
KEPT = 8
SMALL_BYTES = 32 * 1024
"""A body that a socket takes at once."""
ANSWER_BYTES = 32 * 1024 * 1024


class _Lost(Exception):
    """A used connection that ended before a byte of the answer."""


class UnixCalls:
    """A `chassis.calls.Transport`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._kept: list[tuple[Wire, float]] = []

    async def exchange(self, request: Outgoing, *, limit: int = ANSWER_BYTES) -> Incoming:
        """`limit` is for the answer's body, in bytes; not even the rest of a larger one is read.

        Raises `Unreachable`, `Unreadable`.
        """
        while (wire := self._take()) is not None:
            try:
                return await self._exchange(wire, request, limit)
            except _Lost as error:
                if not request.idempotent:
                    raise Unreachable(str(error)) from error
        try:
            return await self._exchange(await self._connect(), request, limit)
        except _Lost as error:
            raise Unreachable(str(error)) from error

    async def aclose(self) -> None:
        for wire, _ in self._kept:
            wire.close()
        self._kept.clear()

    def _take(self) -> Wire | None:
        while self._kept:
            wire, since = self._kept.pop()
            if not wire.ended and time.monotonic() - since < KEEP_IDLE_SECONDS:
                return wire
            wire.close()
        return None

    async def _connect(self) -> Wire:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                reader, writer = await asyncio.open_unix_connection(self._path, limit=CHUNK_BYTES)
        except OSError as error:  # a TimeoutError is one
            raise Unreachable(repr(error)) from error
        return Wire(reader, writer, h11.CLIENT)

    async def _exchange(self, wire: Wire, request: Outgoing, limit: int) -> Incoming:
        keep = False
        try:
            answer = await _answer(wire, request, limit)
        except (OSError, h11.ProtocolError) as error:
            if not wire.heard:
                raise _Lost(repr(error)) from error
            raise Unreachable(repr(error)) from error
        except TooLarge as error:
            raise Unreadable(f"the answer has {error}") from error
        else:
            keep = wire.again() and len(self._kept) < KEPT
            if keep:
                self._kept.append((wire, time.monotonic()))
            return answer
        finally:
            if not keep:
                wire.close()


async def _answer(wire: Wire, request: Outgoing, limit: int) -> Incoming:
    content = request.content or b""
    head = _head_of(request)
    if len(content) <= SMALL_BYTES:
        await wire.send(head, h11.Data(data=content), h11.EndOfMessage())
        return await _listen(wire, limit)
    # listened to while it is sent: a refusal may come before all of it was taken
    sending = asyncio.create_task(_send(wire, head, content))
    try:
        return await _listen(wire, limit)
    finally:
        sending.cancel()
        await asyncio.wait({sending})
        if not sending.cancelled():
            sending.exception()  # whoever listened has met it too


async def _listen(wire: Wire, limit: int) -> Incoming:
    head = await _head(wire)
    content = await wire.body(head, limit=limit)
    return Incoming(status=head.status_code, headers=fields_of(head), content=content)


async def _head(wire: Wire) -> h11.Response:
    """Raises `h11.RemoteProtocolError` if the connection ends instead."""
    while True:
        event = await wire.event()
        if isinstance(event, h11.Response):
            return event
        if not isinstance(event, h11.InformationalResponse):
            raise h11.RemoteProtocolError("closed before an answer")


def _head_of(request: Outgoing) -> h11.Request:
    headers = {"host": "relay", **request.headers}
    if request.content is not None:
        headers["content-length"] = str(len(request.content))
    return h11.Request(method=request.method, target=request.path, headers=list(headers.items()))


async def _send(wire: Wire, head: h11.Request, content: bytes) -> None:
    await wire.send(head)
    for start in range(0, len(content), CHUNK_BYTES):
        await wire.send(h11.Data(data=content[start : start + CHUNK_BYTES]))
    await wire.send(h11.EndOfMessage())
