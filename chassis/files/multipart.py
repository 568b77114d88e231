"""The files of a `multipart/form-data` body (RFC 7578), one after the other, as they come."""

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from email.parser import HeaderParser

from chassis.errors import BerthError
from chassis.files.names import wrong
from contracts.errors import Code

MOST_FILES = 200
HEADER_BYTES = 8 * 1024
"""Of one part, and of what comes before the first."""
_BOUNDARY = re.compile(r"[0-9a-zA-Z'()+_,./:=? -]{1,70}")


class Part:
    """A file. Its content is taken to its end before the next part is asked for."""

    def __init__(self, name: str, body: "_Body") -> None:
        self.name = name
        self._body = body

    async def content(self) -> AsyncGenerator[bytes]:
        async for piece in self._body.until_delimiter():
            yield piece


async def parts(content_type: str, body: AsyncIterator[bytes]) -> AsyncGenerator[Part]:
    """Raises `validation_failed` for what is no such body, or ends too early."""
    boundary = HeaderParser().parsestr(f"Content-Type: {content_type}\n\n").get_boundary("")
    if _BOUNDARY.fullmatch(boundary) is None:
        raise wrong("Content-Type", "multipart/form-data with a boundary")
    read = _Body(boundary.encode(), body)
    await read.passed_over(limit=HEADER_BYTES)
    count = 0
    while (name := await read.following()) is not None:
        if not name:
            await read.passed_over(limit=HEADER_BYTES)  # a field of the form, no file
            continue
        count += 1
        if count > MOST_FILES:
            detail = f"at most {MOST_FILES} files come at once: send a tar of more"
            raise BerthError(Code.TOO_LARGE, detail)
        yield Part(name, read)
    if not count:
        raise wrong("body", "at least one part with a filename")


class _Body:
    def __init__(self, boundary: bytes, body: AsyncIterator[bytes]) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._body = body
        # the first one stands at the beginning, without a line before it
        self._waiting = bytearray(b"\r\n")

    async def following(self) -> str | None:
        """The next part's filename, empty if it is no file. None: that was the last."""
        await self._have(2)
        if bytes(self._waiting[:2]) == b"--":
            return None
        while (end := self._waiting.find(b"\r\n\r\n")) < 0:
            if len(self._waiting) > HEADER_BYTES:
                raise wrong("body", f"parts with headers of at most {HEADER_BYTES} bytes")
            await self._have(len(self._waiting) + 1)
        head = bytes(self._waiting[2:end])
        del self._waiting[: end + 4]
        message = HeaderParser().parsestr(head.decode(errors="surrogateescape"))
        return _unquoted(message.get_filename("") or "")

    async def until_delimiter(self) -> AsyncGenerator[bytes]:
        """And beyond it."""
        longest = len(self._delimiter)
        while (place := self._waiting.find(self._delimiter)) < 0:
            sure = len(self._waiting) - longest + 1
            if sure > 0:
                piece = bytes(self._waiting[:sure])
                del self._waiting[:sure]
                yield piece
            await self._have(len(self._waiting) + 1)
        piece = bytes(self._waiting[:place])
        del self._waiting[: place + longest]
        if piece:
            yield piece

    async def passed_over(self, *, limit: int) -> None:
        size = 0
        async with aclosing(self.until_delimiter()) as pieces:
            async for piece in pieces:
                size += len(piece)
                if size > limit:
                    raise wrong("body", f"parts that are files, others of at most {limit} bytes")

    async def _have(self, size: int) -> None:
        """Raises `validation_failed` where there is not so much."""
        while len(self._waiting) < size:
            try:
                self._waiting += await anext(self._body)
            except StopAsyncIteration:
                expected = "a whole multipart/form-data body: this one ends in the middle"
                raise wrong("body", expected) from None


def _unquoted(name: str) -> str:
    """As browsers quote it, and nothing else."""
    return name.replace("%22", '"').replace("%0D", "\r").replace("%0A", "\n")
