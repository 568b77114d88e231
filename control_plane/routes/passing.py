"""What passes through us as raw ASGI: each part waits until the part before it was taken, and an
answer that was cut is left without its end, so that the server drops the connection.
"""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

from litestar.types import Receive, Send

from chassis.errors import BerthError
from contracts.errors import Code

Lines = list[tuple[str, str]]


class Answer:
    """`services.model_passing.Sink`."""

    def __init__(self, send: Send) -> None:
        self.started = False
        self._send = send

    async def start(self, status: int, headers: Lines) -> None:
        self.started = True
        pairs = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def part(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class CallerLeft(Exception):
    """The rest of the request's body will not come, and nobody waits for an answer."""


class RequestBody:
    """`silence`: seconds for one part of it to come."""

    def __init__(self, receive: Receive, *, silence: float) -> None:
        self._receive = receive
        self._silence = silence
        self._over = asyncio.Event()
        self._left = False

    async def parts(self) -> AsyncGenerator[bytes]:
        """Once. Each is asked for when it is wanted. Raises `CallerLeft`, `validation_failed`."""
        try:
            more = True
            while more:
                async with asyncio.timeout(self._silence):
                    message = await self._receive()
                if message["type"] == "http.disconnect":
                    self._left = True
                    raise CallerLeft
                more = message.get("more_body", False)
                if part := message.get("body", b""):
                    yield part
        except TimeoutError:
            raise BerthError(Code.VALIDATION, "the body stopped in the middle") from None
        finally:
            self._over.set()

    async def departure(self) -> None:
        """Of whoever asked; looked for once the body is over."""
        await self._over.wait()
        if not self._left:
            await departure(self._receive)


async def departure(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


async def unless_left(leaving: Coroutine[Any, Any, None], work: Coroutine[Any, Any, None]) -> None:
    """Ends the work, whatever it waits for, when the caller is gone."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(leaving)
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        watching.cancel()
        working.cancel()
        await asyncio.wait({working, watching})
    if not working.cancelled():
        working.result()
