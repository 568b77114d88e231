"""A git host on a socket that does what no honest one would: a path's first segment says what."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field

In = asyncio.StreamReader
Out = asyncio.StreamWriter

ADVERTISED = b"application/x-git-upload-pack-advertisement"
RESULT = b"application/x-git-upload-pack-result"
PART = b"x" * 65_536
PARTS = 4000
"""260 MB: more than all buffers on the way together hold."""


@dataclass
class Request:
    line: str
    headers: dict[str, str]


@dataclass
class SpoiltHost:
    port: int = 0
    seen: list[Request] = field(default_factory=list[Request])
    sent: int = 0
    """Bytes of the endless answer that found room somewhere."""
    taken: int = 0
    """Bytes of a body that were read."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def reset(self) -> None:
        self.seen.clear()
        self.sent = self.taken = 0
        self.go_on.clear()
        self.left.clear()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncGenerator["SpoiltHost"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def _serve(self, reader: In, out: Out) -> None:
        ways: dict[str, Callable[[In, Out], Awaitable[None]]] = {
            "redirects": self._redirects,
            "dumb": self._dumb,
            "html": self._html,
            "floods": self._floods,
            "halves": self._halves,
            "silent": self._silent,
            "refuses": self._refuses,
            "echoes": self._echoes,
            "swallows": self._swallows,
            "hangs-up": self._hangs_up,
        }
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            line, *rest = head.splitlines()
            pairs = [one.split(": ", 1) for one in rest if one]
            headers = {name.lower(): value for name, value in pairs}
            self.seen.append(Request(line, headers))
            await ways[line.split(" ")[1].split("/")[1]](reader, out)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
        finally:
            out.close()

    async def _redirects(self, reader: In, out: Out) -> None:
        del reader
        line = f"Location: {self.origin}/echoes/a.git/info/refs?service=git-upload-pack\r\n"
        await _whole(out, b"302 Found", b"", b"text/html", line.encode())

    async def _dumb(self, reader: In, out: Out) -> None:
        del reader
        await _whole(out, b"200 OK", b"a" * 40 + b"\trefs/heads/main\n", b"text/plain")

    async def _html(self, reader: In, out: Out) -> None:
        del reader
        await _whole(out, b"200 OK", b"<p>sign in", b"text/html")

    async def _floods(self, reader: In, out: Out) -> None:
        del reader
        out.write(_head(ADVERTISED))
        for _ in range(PARTS):
            out.write(PART)
            await out.drain()
            self.sent += len(PART)

    async def _halves(self, reader: In, out: Out) -> None:
        del reader
        out.write(b"HTTP/1.1 200 OK\r\nContent-Type: " + ADVERTISED)
        out.write(b"\r\nContent-Length: 1000\r\n\r\nonly this")
        await out.drain()

    async def _silent(self, reader: In, out: Out) -> None:
        del out
        await reader.read()
        self.left.set()

    async def _refuses(self, reader: In, out: Out) -> None:
        """With the status that the repository is named by, and what it was sent."""
        del reader
        status = self.seen[-1].line.split("/")[2].partition(".")[0].encode()
        told = self.seen[-1].headers.get("authorization", "nothing").encode()
        await _whole(out, status + b" No", told, b"text/plain", b"WWW-Authenticate: Basic\r\n")

    async def _echoes(self, reader: In, out: Out) -> None:
        """What it was sent, in a header that passes."""
        del reader
        told = self.seen[-1].headers.get("authorization", "nothing").encode()
        headers = b"Cache-Control: " + told + b"\r\nSet-Cookie: a=b\r\nX-Berth-Other: 1\r\n"
        await _whole(out, b"200 OK", b"0000", ADVERTISED, headers)

    async def _swallows(self, reader: In, out: Out) -> None:
        """A little at first, and the rest when it is told to go on."""
        self.taken += len(await reader.read(1000))
        await self.go_on.wait()
        end = b""
        while data := await reader.read(65_536):
            self.taken += len(data)
            end = (end + data)[-5:]
            if end == b"0\r\n\r\n":
                break
        await _whole(out, b"200 OK", b"0000", RESULT)

    async def _hangs_up(self, reader: In, out: Out) -> None:
        """Without a word."""


def _head(kind: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: " + kind + b"\r\n\r\n"


async def _whole(out: Out, status: bytes, body: bytes, kind: bytes, headers: bytes = b"") -> None:
    lines = b"Content-Type: %b\r\nContent-Length: %d\r\n" % (kind, len(body))
    out.write(b"HTTP/1.1 " + status + b"\r\n" + lines + headers + b"\r\n" + body)
    await out.drain()
