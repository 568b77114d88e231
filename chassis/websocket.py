"""WebSockets on asyncio's streams, for both ends: messages are bounded, every wait has a deadline.

What is not received is not read, and what is not taken is not sent: both ends feel each other's
pace. A ping is answered while somebody receives; whoever must know that the other side is there
runs `keep`.
"""

import asyncio
from collections import deque
from contextlib import suppress

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import (
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from chassis.duplex import Closed

READ_BYTES = 64 * 1024
MESSAGE_BYTES = 128 * 1024
LAST_SECONDS = 1.0
"""For a close, and for an answer to a ping."""
REASON_BYTES = 123

TOO_BIG = 1009
ABNORMAL = 1006


class WebSocket:
    """A `chassis.duplex.Duplex`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: Connection
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = protocol
        self._events: deque[Event] = deque(protocol.events())
        self._heard_at = 0.0
        self._reading_since: float | None = None

    async def receive(self) -> bytes | str:
        content = bytearray()
        while True:
            event = await self._event()
            if not isinstance(event, BytesMessage | TextMessage):
                await self._attend(event)
                continue
            text = isinstance(event, TextMessage)
            content += event.data.encode() if text else event.data
            if len(content) > MESSAGE_BYTES:
                await self.close(TOO_BIG, f"a message holds at most {MESSAGE_BYTES} bytes")
                raise Closed(TOO_BIG)
            if event.message_finished:
                return content.decode() if text else bytes(content)

    async def send(self, content: bytes | str, *, within: float) -> None:
        made = TextMessage(content) if isinstance(content, str) else BytesMessage(content)
        await self._write(made, within=within)

    async def close(self, code: int, reason: str = "") -> None:
        told = reason.encode()[:REASON_BYTES].decode(errors="ignore")
        with suppress(Closed, TimeoutError):
            await self._write(CloseConnection(code=code, reason=told), within=LAST_SECONDS)
        self._writer.close()

    def abort(self) -> None:
        self._writer.transport.abort()

    async def keep(self, *, every: float, within: float) -> None:
        """Until it is cancelled, or nothing came for `within` seconds in which somebody waited for
        it: then the connection is aborted.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(every)
            since = self._reading_since
            if since is not None and loop.time() - max(since, self._heard_at) > within:
                self.abort()
                return
            try:
                await self._write(Ping(), within=within)
            except (Closed, TimeoutError):
                self.abort()
                return

    async def _event(self) -> Event:
        while not self._events:
            self._reading_since = asyncio.get_running_loop().time()
            try:
                content = await self._reader.read(READ_BYTES)
            except OSError as error:
                raise Closed(reason=str(error)) from error
            finally:
                self._reading_since = None
            if not content:
                raise Closed
            self._heard_at = asyncio.get_running_loop().time()
            try:
                self._protocol.receive_data(content)
                self._events.extend(self._protocol.events())
            except (LocalProtocolError, RemoteProtocolError) as error:
                raise Closed(reason=str(error)) from error
        return self._events.popleft()

    async def _attend(self, event: Event) -> None:
        """To what is no message. Raises `Closed`."""
        if isinstance(event, Ping):
            with suppress(TimeoutError):
                await self._write(Pong(payload=bytes(event.payload)), within=LAST_SECONDS)
        elif isinstance(event, CloseConnection):
            reason = event.reason or ""
            # what breaks the protocol comes as a close of its own, and is told to the other side
            if self._protocol.state in {ConnectionState.OPEN, ConnectionState.REMOTE_CLOSING}:
                with suppress(Closed, TimeoutError, LocalProtocolError):
                    await self._write(CloseConnection(code=_sent(event.code)), within=LAST_SECONDS)
            raise Closed(event.code, reason)

    async def _write(self, event: Event, *, within: float) -> None:
        try:
            self._writer.write(self._protocol.send(event))
            async with asyncio.timeout(within):
                await self._writer.drain()
        except TimeoutError:
            raise
        except (OSError, LocalProtocolError) as error:
            raise Closed(reason=str(error)) from error


def _sent(code: int) -> int:
    """1005 and 1006 are only ever concluded."""
    return 1000 if code in {1005, ABNORMAL} else code


def accepts(key: bytes) -> list[tuple[str, str]]:
    """The headers of the answer to a handshake with this `Sec-WebSocket-Key`."""
    return [
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", generate_accept_token(key).decode()),
    ]


def accepted(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, trailing: bytes
) -> WebSocket:
    """The server's end of a handshake that was answered; `trailing` came behind its request."""
    protocol = Connection(ConnectionType.SERVER, trailing_data=trailing)
    return WebSocket(reader, writer, protocol)
