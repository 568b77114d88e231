"""HTTP/1.1 on a stream, for both of its ends: h11's events, with limits while reading."""

import asyncio
from contextlib import suppress

import h11

from chassis.duplex import Duplex

HEAD_BYTES = 48 * 1024
"""A request's or an answer's first line and headers, together: two paths with every byte escaped
fit."""

CHUNK_BYTES = 256 * 1024


class TooLarge(Exception):
    """A body of more bytes than was allowed; nothing more of it is read."""


class Wire:
    """One connection. `role` is `h11.CLIENT` or `h11.SERVER`: ours."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        role: type[h11.CLIENT] | type[h11.SERVER],
    ) -> None:
        self.http = h11.Connection(role, max_incomplete_event_size=HEAD_BYTES)
        self.heard = False
        """A byte of the present message has come in."""
        self._reader = reader
        self._writer = writer

    async def event(self) -> h11.Event:
        """Raises `h11.RemoteProtocolError`, also for an end in the middle, and `OSError`."""
        while (event := self.http.next_event()) is h11.NEED_DATA:
            await self._allow_body()
            content = await self._reader.read(CHUNK_BYTES)
            self.heard = self.heard or bool(content)
            self.http.receive_data(content)
        if isinstance(event, type):  # PAUSED: more was sent than was asked for
            raise h11.RemoteProtocolError("pipelined messages are not served")
        return event

    async def body(self, head: h11.Request | h11.Response, *, limit: int) -> bytes:
        """The rest of a message whose head was read. Raises `TooLarge` and what `event` raises."""
        if _declared(head) > limit:
            raise TooLarge(f"a body of more than {limit} bytes")
        content = bytearray()
        while isinstance(event := await self.event(), h11.Data):
            if len(content) + len(event.data) > limit:
                raise TooLarge(f"a body of more than {limit} bytes")
            content += event.data
        return bytes(content)

    async def send(self, *events: h11.Event) -> None:
        """In one piece. Returns when there is room for more; raises `OSError`."""
        self._writer.write(b"".join(self.http.send(event) or b"" for event in events))
        await self._writer.drain()

    async def upgraded(self, head: h11.Request) -> Duplex:
        """Raises `h11.ProtocolError` where the request is no handshake, and `OSError`."""
        # loaded when somebody opens a terminal: no start waits for it
        from chassis.websocket import accepted, accepts  # noqa: PLC0415 - only where one is opened

        fields = fields_of(head)
        key = fields.get("sec-websocket-key", "")
        if fields.get("upgrade", "").lower() != "websocket" or not key:
            raise h11.RemoteProtocolError("no handshake of a WebSocket")
        await self.send(h11.InformationalResponse(status_code=101, headers=accepts(key.encode())))
        return accepted(self._reader, self._writer, self.http.trailing_data[0])

    async def departure(self) -> None:
        """Returns when the other side is gone; what it sends meanwhile is kept for later."""
        while content := await self._reader.read(CHUNK_BYTES):
            self.http.receive_data(content)
            if len(self.http.trailing_data[0]) > HEAD_BYTES:
                raise h11.RemoteProtocolError("pipelined messages are not served")

    @property
    def unread(self) -> bool:
        """There is more of the present message's body."""
        return self.http.their_state is h11.SEND_BODY

    async def pass_over(self) -> None:
        """Reads the rest of a body that nobody wants, until its end or the sender's."""
        with suppress(OSError, h11.RemoteProtocolError):
            while self.unread:
                await self.event()

    def again(self) -> bool:
        """Whether another message may follow on this connection; then it is ready for it."""
        if self.http.states != {h11.CLIENT: h11.DONE, h11.SERVER: h11.DONE}:
            return False
        self.http.start_next_cycle()
        self.heard = False
        return True

    @property
    def ended(self) -> bool:
        """The other side has closed it."""
        return self._reader.at_eof() or self._writer.is_closing()

    def close(self) -> None:
        self._writer.close()

    async def _allow_body(self) -> None:
        if self.http.our_role is h11.SERVER and self.http.they_are_waiting_for_100_continue:
            await self.send(h11.InformationalResponse(status_code=100, headers=[]))


def fields_of(head: h11.Request | h11.Response) -> dict[str, str]:
    """Names in lower case; of one that comes twice the last."""
    return {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}


def _declared(head: h11.Request | h11.Response) -> int:
    # h11 has seen to it that it is a number
    return int(fields_of(head).get("content-length", "0"))
