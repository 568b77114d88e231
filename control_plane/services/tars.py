"""A tar as a stream, of plain files only. Nothing is extracted: members are read by whoever knows
which one comes next.
"""

import asyncio
import hashlib
import tarfile
from collections.abc import AsyncIterator

from chassis.errors import BerthError
from contracts.errors import Code

BLOCK = 512
HASHED_IN_THREAD = 256 * 1024
MOST_PADDING = 1024 * 1024
"""Zeros behind the last member."""


def whole(name: str, content: bytes) -> bytes:
    """A member: its head, its content, zeros up to the next block."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    head = info.tobuf(tarfile.USTAR_FORMAT, "ascii", "strict")
    return b"".join((head, content, bytes(-len(content) % BLOCK)))


END = bytes(2 * BLOCK)


class TarReader:
    """Raises BerthError `validation_failed` for whatever is not as it must be, `too_large` for more
    than `limit` bytes in all.
    """

    def __init__(self, parts: AsyncIterator[bytes], *, limit: int) -> None:
        self._parts = parts
        self._limit = limit
        self._waiting = bytearray()
        self._read = 0
        self._digest = hashlib.sha256()
        self.before = hashlib.sha256().hexdigest()
        """Of everything before the present member."""

    async def next(self) -> tuple[str, int] | None:
        """The next member's name and size; None: the archive ends here."""
        self.before = self._digest.hexdigest()
        head = await self._exactly(BLOCK)
        if not any(head):
            await self._only_zeros()
            return None
        try:
            info = tarfile.TarInfo.frombuf(head, "ascii", "strict")
        except (tarfile.HeaderError, UnicodeError, ValueError) as error:
            raise wrong("a plain tar", "its next member has no head") from error
        if info.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or info.size < 0:
            raise wrong("plain files only", f"{info.name[:100]!r} is none")
        return info.name, info.size

    async def content(self, size: int, *, most: int, name: str) -> bytes:
        """Of the present member."""
        if size > most:
            raise BerthError(Code.TOO_LARGE, f"{name} has {size} bytes, more than {most}")
        content = await self._exactly(size)
        if any(await self._exactly(-size % BLOCK)):
            raise wrong("zeros behind a member", f"there is something behind {name}")
        return content

    async def _exactly(self, size: int) -> bytes:
        while len(self._waiting) < size:
            part = await anext(self._parts, None)
            if part is None:
                raise wrong("an archive with its end", "it is cut off")
            self._read += len(part)
            if self._read > self._limit:
                raise BerthError(Code.TOO_LARGE, f"an archive has {self._limit} bytes at most")
            self._waiting += part
        found = bytes(self._waiting[:size])
        del self._waiting[:size]
        if size < HASHED_IN_THREAD:
            self._digest.update(found)
        else:
            await asyncio.to_thread(self._digest.update, found)
        return found

    async def _only_zeros(self) -> None:
        left = 0
        while True:
            if any(self._waiting) or left > MOST_PADDING:
                raise wrong("nothing behind the archive's end", "there is something")
            left += len(self._waiting)
            self._waiting.clear()
            part = await anext(self._parts, None)
            if part is None:
                return
            self._waiting += part


def wrong(expected: str, found: str) -> BerthError:
    return BerthError(
        Code.VALIDATION,
        f"body: expected {expected}; {found}",
        field="body",
        expected=expected,
    )
