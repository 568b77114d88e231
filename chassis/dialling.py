"""The client's end of a WebSocket: dialled on a port or a Unix socket, within a deadline."""

import asyncio
import ssl
from collections.abc import Mapping
from typing import Self
from urllib.parse import urlsplit

from wsproto import WSConnection
from wsproto.connection import Connection, ConnectionType
from wsproto.events import Event, RejectConnection, RejectData, Request
from wsproto.utilities import RemoteProtocolError

from chassis.duplex import Closed
from chassis.websocket import READ_BYTES, WebSocket

REFUSAL_BYTES = 64 * 1024


class Refused(Exception):
    """The handshake was answered with something else than a WebSocket."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"answered {status}")
        self.status = status
        self.body = body


class Dialled(WebSocket):
    @classmethod
    async def dial(
        cls, url: str, *, headers: Mapping[str, str], within: float, uds: str | None = None
    ) -> Self:
        """`url` is of http or https. Raises `Refused`, `OSError`, `TimeoutError`, `Closed`."""
        parts = urlsplit(url)
        async with asyncio.timeout(within):
            reader, writer = await _streams(parts.hostname or "", parts.port, parts.scheme, uds)
            try:
                protocol = await _handshake(
                    reader,
                    writer,
                    Request(
                        host=parts.netloc,
                        target=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
                        extra_headers=[(n.encode(), v.encode()) for n, v in headers.items()],
                    ),
                )
            except BaseException:
                writer.transport.abort()
                raise
        return cls(reader, writer, protocol)


async def _streams(
    host: str, port: int | None, scheme: str, uds: str | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if uds is not None:
        return await asyncio.open_unix_connection(uds, limit=READ_BYTES)
    secure = scheme == "https"
    context = await asyncio.to_thread(ssl.create_default_context) if secure else None
    number = port or (443 if secure else 80)
    return await asyncio.open_connection(host, number, ssl=context, limit=READ_BYTES)


async def _handshake(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Request
) -> Connection:
    client = WSConnection(ConnectionType.CLIENT)
    writer.write(client.send(request))
    await writer.drain()
    refusal = _Refusal()
    while True:
        content = await reader.read(READ_BYTES)
        try:
            client.receive_data(content or None)
        except RemoteProtocolError as error:
            raise Closed(reason=str(error)) from error
        if client.connection is not None:
            return client.connection
        for event in client.events():
            refusal.add(event)
        if refusal.whole or not content:
            raise refusal.error()


class _Refusal:
    """What came instead of a WebSocket."""

    def __init__(self) -> None:
        self.whole = False
        self._status = 0
        self._body = b""

    def add(self, event: Event) -> None:
        if isinstance(event, RejectConnection):
            self._status = event.status_code
        elif isinstance(event, RejectData):
            self._body += bytes(event.data)
            self.whole = event.body_finished or len(self._body) >= REFUSAL_BYTES

    def error(self) -> Exception:
        if not self._status:
            return Closed(reason="it ended within its handshake")
        return Refused(self._status, self._body[:REFUSAL_BYTES])
