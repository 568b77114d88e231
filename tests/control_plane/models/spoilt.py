"""A provider on a socket that does what no honest one would; the path before `/v1` says what."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

Out = asyncio.StreamWriter

PART = b'data: {"type":"content_block_delta","delta":{"text":"' + b"x" * 65_000 + b'"}}\n\n'
PARTS = 4000
"""260 MB: more than all buffers on the way together hold."""

SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class SpoiltProvider:
    """`url` leads to it; behind it stands a word that is a method's name."""

    url: str = ""
    seen: list[Request] = field(default_factory=list[Request])
    sent: int = 0
    """Bytes of the endless answer that found room somewhere."""
    go: asyncio.Event = field(default_factory=asyncio.Event)
    """Whoever is made to wait is answered."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Whoever was answered without an end has left."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator["SpoiltProvider"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def _serve(self, reader: asyncio.StreamReader, out: Out) -> None:
        try:
            request = await self._read(reader)
            self.seen.append(request)
            word = request.line.split(" ")[1].split("/")[1]
            ways: dict[str, Callable[[Out], Awaitable[None]]] = {
                "redirects": self._redirects,
                "packs": self._packs,
                "echoes": self._echoes,
                "floods": self._floods,
                "drips": self._drips,
                "halves": self._halves,
                "lingers": self._lingers,
                "cookies": self._cookies,
                "waits": self._waits,
            }
            await ways[word](out)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.closed.set()
        finally:
            out.close()

    async def _read(self, reader: asyncio.StreamReader) -> Request:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        line, *rest = head.splitlines()
        pairs = [one.split(": ", 1) for one in rest if one]
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Request(line, headers, body)

    async def _redirects(self, out: Out) -> None:
        out.write(
            b"HTTP/1.1 307 Temporary Redirect\r\nLocation: "
            + f"{self.url}/echoes/v1/messages".encode()
            + b"\r\nContent-Length: 0\r\n\r\n"
        )
        await out.drain()

    async def _packs(self, out: Out) -> None:
        body = gzip.compress(b'{"id":"msg_1","usage":{"input_tokens":1,"output_tokens":1}}')
        await _whole(out, b"200 OK", body, b"Content-Encoding: gzip\r\n")

    async def _echoes(self, out: Out) -> None:
        """As some do that say which key was wrong."""
        headers = self.seen[-1].headers
        key = headers.get("x-api-key") or headers.get("authorization", "")
        body = f'{{"error":{{"message":"wrong key: {key}"}}}}'.encode()
        named = f"Request-Id: {key}\r\nAnthropic-RateLimit-Tokens: 7\r\n".encode()
        await _whole(out, b"401 Unauthorized", body, named)

    async def _floods(self, out: Out) -> None:
        self.sent = 0
        out.write(SSE + b"Connection: close\r\n\r\n")
        for _ in range(PARTS):
            out.write(PART)
            await out.drain()
            self.sent += len(PART)
        out.write(b'data: {"type":"message_stop"}\n\n')
        await out.drain()

    async def _drips(self, out: Out) -> None:
        """A sign of life again and again, and never an end."""
        self.closed.clear()
        out.write(SSE + b"Connection: close\r\n\r\n")
        while not out.is_closing():
            out.write(b": still here\n\n")
            await out.drain()
            await asyncio.sleep(0.05)
        self.closed.set()

    async def _halves(self, out: Out) -> None:
        """Ends, as far as HTTP knows, in the middle of its JSON."""
        body = b'{"id":"msg_1","usage":{"input_to'
        await _whole(out, b"200 OK", body, b"")

    async def _lingers(self, out: Out) -> None:
        """Says its last word and stays on the line."""
        out.write(
            SSE + b"Connection: close\r\n\r\n"
            b'data: {"type":"message_start","message":{"id":"msg_2","usage":{"input_tokens":5}}}'
            b'\n\ndata: {"type":"message_delta","delta":{},"usage":{"output_tokens":6}}\n\n'
            b'data: {"type":"message_stop"}\n\n'
        )
        await out.drain()
        await asyncio.sleep(30)

    async def _cookies(self, out: Out) -> None:
        body = b'{"id":"msg_3","usage":{"input_tokens":1,"output_tokens":2}}'
        await _whole(out, b"200 OK", body, b"Set-Cookie: whose=theirs; Path=/\r\n")

    async def _waits(self, out: Out) -> None:
        await self.go.wait()
        await self._cookies(out)


async def _whole(out: Out, status: bytes, body: bytes, headers: bytes) -> None:
    length = b"Content-Length: %d\r\n" % len(body)
    kind = b"Content-Type: application/json\r\n"
    out.write(b"HTTP/1.1 " + status + b"\r\n" + kind + length + headers + b"\r\n" + body)
    await out.drain()
