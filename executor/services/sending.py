"""What is read while it is sent: a stretch of a file, or an archive that is made on the way."""

import asyncio
import os
from typing import Self

from chassis.errors import BerthError, Stale
from contracts.errors import Code
from contracts.workspace_files import TRANSFER_SECONDS
from executor.files.opening import Deadline
from executor.files.zipping import Zipping
from executor.services.lanes import Lanes
from executor.threads import AgentThreads

CHUNK_BYTES = 256 * 1024
CHUNK_SECONDS = 30.0
"""For one chunk to come from the disk."""


class Chunks:
    """Exactly `size` bytes in pieces, or an error: `BerthError` when the file became shorter
    (`conflict`) or the disk did not answer (`upstream_timeout`). Closes the file at its end;
    whoever stops before that calls `aclose`.
    """

    def __init__(self, file: int, start: int, size: int, threads: AgentThreads) -> None:
        self._file = file
        self._left = size
        self._offset = start
        self._threads = threads
        self._reading: asyncio.Future[bytes] | None = None
        self._closed = False
        self._deadline = Deadline(TRANSFER_SECONDS)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._closed or not self._left:
            await self.aclose()
            raise StopAsyncIteration
        try:
            chunk = await self._read()
        except BaseException:
            await self.aclose()
            raise
        self._left -= len(chunk)
        self._offset += len(chunk)
        return chunk

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._reading is None or self._reading.done():
            os.close(self._file)
        else:
            # its number must not become another file's while a thread reads from it
            self._reading.add_done_callback(lambda _: os.close(self._file))

    async def _read(self) -> bytes:
        self._deadline.check("a download takes at most an hour: ask for a Range")
        size = min(CHUNK_BYTES, self._left)
        self._reading = self._threads.begin(os.pread, self._file, size, self._offset)
        try:
            async with asyncio.timeout(CHUNK_SECONDS):
                chunk = await asyncio.shield(self._reading)
        except TimeoutError as error:
            raise BerthError(Code.UPSTREAM_TIMEOUT, "the disk did not answer in time") from error
        if not chunk:
            raise Stale(Code.CONFLICT, "the file became shorter while it was read")
        return chunk


class ZipChunks:
    """An archive's pieces, each made when it is asked for."""

    def __init__(self, zipping: Zipping, lanes: Lanes) -> None:
        self._zipping = zipping
        self._lanes = lanes
        self._making: asyncio.Future[bytes | None] | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._closed:
            raise StopAsyncIteration
        self._making = asyncio.ensure_future(self._lanes.step(self._zipping.following))
        try:
            piece = await asyncio.shield(self._making)
        except BaseException:
            await self.aclose()
            raise
        if piece is None:
            await self.aclose()
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._making is not None and not self._making.done():
            # its handles are in use as long as a thread is at it
            self._making.add_done_callback(self._close)
        else:
            self._lanes.close(self._zipping.close)

    def _close(self, making: "asyncio.Future[bytes | None]") -> None:
        if not making.cancelled():
            making.exception()
        self._lanes.close(self._zipping.close)
