"""This command's own terminal, in raw mode: every key is the session's, but the one that detaches.

What was typed while nobody was connected is thrown away: it was meant for a screen that was not
there.
"""

import asyncio
import fcntl
import os
import signal
import struct
import termios
import tty
from types import TracebackType
from typing import Self

from contracts.terminals import Resize

READ_BYTES = 32 * 1024

LEFT_BEHIND = (
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1004l\x1b[?1006l\x1b[?2004l\x1b[?1049l\x1b[?25h\x1b[0m"
)
"""What a program that is still on the screen has switched on."""
CLEARED = b"\x1b[0m\x1b[2J\x1b[H"

MOST_COLUMNS, MOST_ROWS = 1000, 500


class OwnTerminal:
    def __init__(self, keys: int, screen: int) -> None:
        """Two file descriptors: what is typed, and what shows."""
        self.resized = asyncio.Event()
        self._keys = keys
        self._screen = screen
        self._before = termios.tcgetattr(keys)

    async def __aenter__(self) -> Self:
        tty.setraw(self._keys)
        asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, self.resized.set)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGWINCH)
        self.show(LEFT_BEHIND)
        termios.tcsetattr(self._keys, termios.TCSANOW, self._before)

    @property
    def size(self) -> Resize:
        packed = fcntl.ioctl(self._screen, termios.TIOCGWINSZ, b"\0" * 8)
        rows, columns, _, _ = struct.unpack("HHHH", packed)
        return Resize(
            columns=min(max(columns or 80, 2), MOST_COLUMNS),
            rows=min(max(rows or 24, 2), MOST_ROWS),
        )

    def show(self, content: bytes) -> None:
        view = memoryview(content)
        while view:
            view = view[os.write(self._screen, view) :]

    def forget_typed(self) -> None:
        termios.tcflush(self._keys, termios.TCIFLUSH)

    async def typed(self) -> bytes:
        """Empty at its end."""
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_reader(self._keys, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(self._keys)
        return os.read(self._keys, READ_BYTES)
