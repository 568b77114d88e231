"""What viewers type: it waits until the program reads, and not for ever."""

import asyncio
import errno
import os

from chassis.logs import get_logger

INPUT_BYTES = 256 * 1024
STALL_SECONDS = 5.0
"""For a program that reads nothing; then what waits for it is dropped."""
WRITE_BYTES = 64 * 1024

_log = get_logger()


class Typed:
    def __init__(self, master: int, terminal: str) -> None:
        self._master: int | None = master
        self._terminal = terminal
        self._loop = asyncio.get_running_loop()
        self._waiting = bytearray()
        self._room = asyncio.Event()
        self._room.set()
        self._stalled = False

    async def add(self, content: bytes) -> int:
        """Waits for room; the bytes that were dropped because the program reads nothing."""
        if len(self._waiting) + len(content) > INPUT_BYTES and not await self._has_room():
            dropped = len(self._waiting) + len(content)
            self._waiting.clear()
            return dropped
        self._waiting += content
        self._flush()
        return 0

    def close(self) -> None:
        """Before the PTY is."""
        if self._master is not None:
            self._loop.remove_writer(self._master)
        self._master = None
        self._room.set()

    async def _has_room(self) -> bool:
        """False: nothing was taken for long; until something is, there is none at once."""
        if self._stalled or self._master is None:
            return False
        self._room.clear()
        try:
            async with asyncio.timeout(STALL_SECONDS):
                await self._room.wait()
        except TimeoutError:
            self._stalled = True
        return not self._stalled

    def _flush(self) -> None:
        if self._master is None:
            return
        try:
            taken = os.write(self._master, memoryview(self._waiting)[:WRITE_BYTES])
        except BlockingIOError:
            taken = 0
        except OSError as error:
            if error.errno != errno.EIO:
                _log.warning("terminal_input_failed", terminal=self._terminal, reason=str(error))
            taken = len(self._waiting)
        if taken:
            del self._waiting[:taken]
            self._stalled = False
        if len(self._waiting) <= INPUT_BYTES // 2:
            self._room.set()
        if self._waiting:
            self._loop.add_writer(self._master, self._flush)
        else:
            self._loop.remove_writer(self._master)
