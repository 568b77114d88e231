"""An upstream's answer on its way to the client: each chunk is sent when it comes."""

import aiohttp
from litestar.types import Send

from gateway.exchange import Patience
from gateway.headers import RawHeaders, to_client

BYE = b'event: bye\nretry: 1000\ndata: {"reason":"gateway_stopping"}\n\n'


class Answer:
    """When the upstream is cut, this is left without its end, and the server then drops the
    connection: no client takes a part for the whole.
    """

    def __init__(self, send: Send, patience: Patience, idle_seconds: float) -> None:
        self.started = False
        self._send = send
        self._patience = patience
        self._idle_seconds = idle_seconds
        self._stopping = False
        self._between_events = False
        """True while an event stream could end here."""

    async def relay(
        self, response: aiohttp.ClientResponse, headers: RawHeaders | None = None
    ) -> None:
        """`headers` instead of the upstream's own."""
        is_event_stream = response.content_type == "text/event-stream"
        content = response.content
        self._patience.extend(self._idle_seconds)
        own = to_client(response.raw_headers) if headers is None else headers
        await self._start(response.status, own)
        self._between_events = is_event_stream
        tail = b""
        while not (self._stopping and self._between_events):
            chunk = await content.readany()
            ended = content.at_eof()
            self._between_events = False
            await self._body(chunk, more=not ended)
            if ended:
                return
            tail = (tail + chunk)[-2:] if is_event_stream else b""
            self._between_events = tail == b"\n\n"
        await self.say_bye()

    async def whole(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """An answer of our own."""
        sized = [*headers, (b"content-length", b"%d" % len(body))]
        await self._start(status, sized)
        await self._body(body, more=False)

    def stop(self) -> None:
        """The gateway stops: an event stream ends at its next gap, anything else by itself."""
        self._stopping = True
        if self._between_events:
            self._patience.end("stopping")

    async def say_bye(self) -> None:
        await self._body(BYE, more=False)

    async def _start(self, status: int, headers: RawHeaders) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _body(self, body: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})
        self._patience.extend(self._idle_seconds)
