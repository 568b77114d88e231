"""An HTTP request whose answer is read as it comes, with the standard library's streams alone, so
that a cut is seen as it happened.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from dataclasses import dataclass
from urllib.parse import urlsplit

LINE_LIMIT = 16 * 1024 * 1024


class CutShort(Exception):
    """The answer did not come whole; the message says how far it came."""


@dataclass(frozen=True, slots=True)
class Streamed:
    status: int
    _headers: dict[str, str]
    _reader: asyncio.StreamReader

    async def lines(self) -> AsyncIterator[str]:
        """Raises `CutShort`."""
        rest = b""
        async for chunk in self._chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode().rstrip("\r")
        if rest:
            yield rest.decode()

    async def _chunks(self) -> AsyncIterator[bytes]:
        with _told():
            if self._headers.get("transfer-encoding", "").lower() != "chunked":
                length = self._headers.get("content-length")
                yield await (
                    self._reader.readexactly(int(length)) if length else self._reader.read()
                )
                return
            while size := int((await self._reader.readuntil(b"\r\n")).partition(b";")[0], 16):
                yield await self._reader.readexactly(size)
                await self._reader.readexactly(2)


@contextlib.asynccontextmanager
async def posted(url: str, *, headers: dict[str, str], body: bytes) -> AsyncGenerator[Streamed]:
    """Raises `OSError` where nobody listens, `CutShort` where no answer begins."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(
        place.hostname, place.port or 80, limit=LINE_LIMIT
    )
    told = {"Host": place.netloc, "Content-Length": str(len(body)), "Connection": "close"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, **told}.items())
    try:
        with _told():
            writer.write(f"POST {place.path} HTTP/1.1\r\n{lines}\r\n".encode() + body)
            await writer.drain()
            first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()
        pairs = (line.partition(":") for line in rest if line)
        found = {name.strip().lower(): value.strip() for name, _, value in pairs}
        yield Streamed(int(first.split()[1]), found, reader)
    finally:
        writer.close()


@contextlib.contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as error:
        raise CutShort(f"{error!r}") from error
