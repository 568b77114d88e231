"""An agent's connection until its first bytes say whether it is a tunnel's or HTTP's.

HTTP has its server. A tunnel leaves HTTP with its first line, needs both directions on their own
and the end of each, and is read by one reader from its first byte on.
"""

import asyncio
from collections.abc import Awaitable, Callable

CONNECT = b"CONNECT "

TunnelHandler = Callable[[tuple[asyncio.StreamReader, asyncio.StreamWriter]], Awaitable[None]]
Started = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


class Opening(asyncio.Protocol):
    """`lost` is called once if the connection ends here, or as a tunnel."""

    def __init__(
        self,
        *,
        http: Callable[[], asyncio.Protocol],
        tunnel: Started,
        lost: Callable[[], None],
        head_seconds: float,
        limit: int,
    ) -> None:
        self._http = http
        self._tunnel = tunnel
        self._lost = lost
        self._head_seconds = head_seconds
        self._limit = limit
        self._seen = b""
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream's transport")
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._head_seconds, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if self._seen.startswith(CONNECT):
            self._become_tunnel()
        elif not CONNECT.startswith(self._seen):
            self._become(self._http())

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._stop_waiting()
        self._lost()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _become_tunnel(self) -> None:
        reader = asyncio.StreamReader(limit=self._limit)
        protocol = _Tunnelled(reader, self._lost)
        transport = self._become(protocol)
        loop = asyncio.get_running_loop()
        self._tunnel(reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    def _become(self, protocol: asyncio.Protocol) -> asyncio.Transport:
        if self._transport is None:
            raise RuntimeError("nothing is received before the connection is made")
        self._stop_waiting()
        self._transport.set_protocol(protocol)
        protocol.connection_made(self._transport)
        seen, self._seen = self._seen, b""
        protocol.data_received(seen)
        return self._transport

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()


class _Tunnelled(asyncio.StreamReaderProtocol):
    def __init__(self, reader: asyncio.StreamReader, lost: Callable[[], None]) -> None:
        super().__init__(reader)
        self._lost = lost

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._lost()
