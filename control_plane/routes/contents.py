"""Content that is made while it is sent: an answer of bytes, not of JSON."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from litestar.types import Receive, Scope, Send

from chassis.errors import BerthError
from chassis.logs import get_logger
from control_plane.routes.passing import Answer, departure, unless_left

_log = get_logger()


class Content:
    """An ASGI app. What goes wrong once it has begun is told by leaving without an end."""

    def __init__(
        self,
        *,
        headers: Mapping[str, str],
        pieces: AsyncGenerator[bytes] | None = None,
        status: int = 200,
    ) -> None:
        self._headers = headers
        self._pieces = pieces
        self._status = status

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope
        answer = Answer(send)
        try:
            await unless_left(departure(receive), self._send(answer))
        finally:
            if self._pieces is not None:
                await self._pieces.aclose()

    async def _send(self, answer: Answer) -> None:
        await answer.start(self._status, list(self._headers.items()))
        try:
            if self._pieces is not None:
                async for piece in self._pieces:
                    if piece:
                        await answer.part(piece)
        except BerthError as error:
            _log.warning("content_cut", reason=str(error))
            return
        await answer.end()


async def begun(pieces: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """With its first piece: what is wrong by then is still told in words."""
    first = await anext(pieces, b"")

    async def all_of_them() -> AsyncGenerator[bytes]:
        async with aclosing(pieces):
            yield first
            async for piece in pieces:
                yield piece

    return all_of_them()
