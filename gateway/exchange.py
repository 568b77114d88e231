"""One request passing through: its patience, the client's body, and who left first.

`Patience` is one deadline that moves: none while the client uploads (its body has its own), then
the wait for the first byte, then silence between chunks. The client's departure and the gateway's
stop end it at once.
"""

import asyncio
from collections.abc import AsyncGenerator
from types import TracebackType
from typing import Literal, Self

from litestar.types import Receive

from chassis.errors import BerthError
from contracts.errors import Code

Ending = Literal["late", "left", "stopping"]


class ClientBody:
    """What the client sends, cut at the limit whatever its headers promised."""

    def __init__(self, receive: Receive, limit: int, idle_seconds: float) -> None:
        self.error: BerthError | None = None
        self.sent = asyncio.Event()
        """Set when the last chunk was handed on."""
        self.left = False
        self._receive = receive
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._size = 0
        self._more = True

    async def first(self) -> bytes | AsyncGenerator[bytes] | None:
        """The whole body if one message holds it, None if there is none."""
        chunk = await self._next()
        if self._more:
            return self._all(chunk)
        self.sent.set()
        return chunk or None

    async def whole(self) -> bytes:
        chunks: list[bytes] = []
        while self._more:
            chunks.append(await self._next())
        self.sent.set()
        return b"".join(chunks)

    async def departure(self) -> None:
        """Returns when the client is gone."""
        await self.sent.wait()
        while not self.left:
            message = await self._receive()
            self.left = message["type"] == "http.disconnect"

    async def _all(self, chunk: bytes) -> AsyncGenerator[bytes]:
        yield chunk
        while self._more:
            yield await self._next()
        self.sent.set()

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(self._idle_seconds):
                message = await self._receive()
        except TimeoutError:
            detail = f"the body was silent for {self._idle_seconds:g} s"
            raise self._refusal(Code.VALIDATION, detail) from None
        if message["type"] == "http.disconnect":
            self.left = True
            raise self._refusal(Code.VALIDATION, "the client left before its body had ended")
        chunk: bytes = message.get("body", b"")
        self._more = message.get("more_body", False)
        self._size += len(chunk)
        if self._size > self._limit:
            raise self._refusal(Code.TOO_LARGE, f"a body holds at most {self._limit} bytes")
        return chunk

    def _refusal(self, code: Code, detail: str) -> BerthError:
        # kept as well: the upstream client wraps what a body raises
        self.error = BerthError(code, detail)
        return self.error


class Patience:
    """An async context; inside, a TimeoutError comes out of whatever is awaited when it ends."""

    def __init__(self, body: ClientBody, seconds: float) -> None:
        """`seconds` from the body's end on."""
        self.ending: Ending = "late"
        self._body = body
        self._seconds = seconds
        self._timeout = asyncio.timeout(None)
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
        await self._timeout.__aexit__(kind, error, traceback)

    def extend(self, seconds: float) -> None:
        if self.ending == "late" and not self._timeout.expired():
            self._timeout.reschedule(asyncio.get_running_loop().time() + seconds)

    def end(self, ending: Ending) -> None:
        self.extend(0)
        self.ending = ending

    async def _watch(self) -> None:
        await self._body.sent.wait()
        self.extend(self._seconds)
        await self._body.departure()
        self.end("left")
