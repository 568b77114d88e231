"""The body of an agent's request, hashed while it is on its way."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable

from aiohttp import web

from contracts.errors import Code
from executor_manager.relay.problems import problem


class BodyEnded(Exception):
    """It will not come whole: see `Body.refused`."""


class Body:
    def __init__(self, request: web.BaseRequest, *, limit: int, silence: float) -> None:
        self.refused: web.Response | None = None
        """The answer to a request whose body did not come as it should; None: nothing is wrong."""
        self._request = request
        self._limit = limit
        self._silence = silence
        self.size = 0
        """Of what has come so far, in bytes."""
        self._hash = hashlib.sha256()

    @property
    def length(self) -> int | None:
        """As announced; None: none was, or there is no body."""
        return self._request.content_length if self._request.body_exists else None

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def check_length(self) -> None:
        if (self.length or 0) > self._limit:
            self.refused = self._too_large()

    def stream(self, moved: Callable[[], None]) -> AsyncGenerator[bytes] | None:
        """To be sent once; `moved` is called for each part. None: there is no body."""
        return self._parts(moved) if self._request.body_exists else None

    async def _parts(self, moved: Callable[[], None]) -> AsyncGenerator[bytes]:
        # begun only when there is a connection to send it on
        if self._request.headers.get("Expect", "").lower() == "100-continue":
            self._say_continue()
        while part := await self._next():
            self.size += len(part)
            if self.size > self._limit:
                self.refused = self._too_large()
                raise BodyEnded
            self._hash.update(part)
            moved()
            yield part

    def _say_continue(self) -> None:
        if self._request.transport is not None:
            self._request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    async def _next(self) -> bytes:
        try:
            async with asyncio.timeout(self._silence):
                return await self._request.content.readany()
        except TimeoutError as error:
            self.refused = problem(Code.VALIDATION, "the request's body stopped in the middle")
            raise BodyEnded from error
        except web.RequestPayloadError as error:
            self.refused = problem(Code.VALIDATION, "the request's body is malformed")
            raise BodyEnded from error

    def _too_large(self) -> web.Response:
        return problem(Code.TOO_LARGE, f"a body may have {self._limit} bytes", limit=self._limit)
