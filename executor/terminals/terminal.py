"""One terminal: a PTY with a program, what it has written, and who looks at it.

    program ── PTY ── Sanitizer ── Scrollback ──> viewers, each at its own pace
                 └──<── Typed, a bounded part of it waiting ──<── viewers that may write

The program is held up when every viewer is behind, and goes on at its own pace when nobody looks.
However it writes, it takes a bounded share of the executor's time.
"""

import asyncio
import fcntl
import os
import struct
import termios
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from executor.terminals.escapes import Sanitizer
from executor.terminals.kept import Kept
from executor.terminals.scrollback import Scrollback
from executor.terminals.typed import Typed

READ_BYTES = 64 * 1024
LEAD_BYTES = 256 * 1024
"""So far may the program be ahead of the viewer that has seen most."""

TICK_SECONDS = 0.05
TICK_BYTES = 512 * 1024
TICK_BUSY_SECONDS = 0.015
"""What a terminal may cost within a tick: bytes, and time of the executor's."""

RESIZE_SECONDS = 0.05
"""Between two: each makes a program draw everything anew."""
HANGUP_SECONDS = 1.0


class Size(msgspec.Struct, frozen=True):
    columns: int = 80
    rows: int = 24


class Reading:
    """How far one viewer has come; `changed` is set when there may be more for it."""

    def __init__(self, position: int) -> None:
        self.position = position
        self.changed = asyncio.Event()
        self.changed.set()


class Terminal:
    """`on_activity` is called whenever something is typed or written."""

    def __init__(
        self,
        name: str,
        *,
        master: int,
        kept: Kept,
        size: Size,
        scrollback_bytes: int,
        on_activity: Callable[[], None],
    ) -> None:
        self.name = name
        self.size = size
        self.scrollback = Scrollback(scrollback_bytes)
        self.readings: set[Reading] = set()
        self.exit_code: int | None = None
        """Set when it has ended, and all that it wrote is in the scrollback."""
        self.closed: tuple[int, str] | None = None
        """Why it was closed: a code and its reason."""
        self.active_at = self.watched_at = time.monotonic()
        self._master: int | None = master
        self._kept = kept
        self._on_activity = on_activity
        self._sanitizer = Sanitizer()
        self._loop = asyncio.get_running_loop()
        self._reads = False
        self._tick_ends = 0.0
        self._tick_bytes = 0
        self._tick_busy = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._typed = Typed(master, name)
        self._wanted = size
        self._resizing: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self._set_size(size)
        self._pace()
        self._waiting = asyncio.create_task(self._until_ended(), name=f"terminal {name}")

    @property
    def over(self) -> bool:
        return self.exit_code is not None or self.closed is not None

    def join(self) -> Reading:
        """From the oldest line that is still here."""
        reading = Reading(self.scrollback.line_after(self.scrollback.start))
        self.readings.add(reading)
        self.watched_at = time.monotonic()
        return reading

    def leave(self, reading: Reading) -> None:
        self.readings.discard(reading)
        self.watched_at = time.monotonic()
        self._pace()

    def take(self, reading: Reading, size: int) -> tuple[int, bytes]:
        """What comes next for it, and how many bytes before that it has missed."""
        missed = 0
        if reading.position < self.scrollback.start:
            goes_on = self.scrollback.line_after(self.scrollback.start)
            missed, reading.position = goes_on - reading.position, goes_on
        content = self.scrollback.read(reading.position, size)
        reading.position += len(content)
        self._pace()
        return missed, content

    async def write(self, content: bytes) -> int:
        """The bytes that were dropped because the program reads nothing."""
        self._active()
        return await self._typed.add(content)

    def resize(self, size: Size) -> None:
        """The latest counts; those in between, coming fast, are left out."""
        self._wanted = size
        if self._resizing is None:
            self._resize_now()

    def redraw(self) -> None:
        """For who came in the middle: the program is told of a change that is none."""
        size = self.size
        self._set_size(Size(size.columns, max(1, size.rows - 1)))
        self._set_size(size)

    def close_soon(self, code: int, reason: str) -> None:
        if self._closing is None:
            self._closing = asyncio.create_task(self.close(code, reason))

    async def close(self, code: int, reason: str) -> None:
        """Hangs up, and ends what is left soon after."""
        if not self.over:
            self.closed = (code, reason)
        self._wake()
        self._hang_up()
        try:
            async with asyncio.timeout(HANGUP_SECONDS):
                await self._ended.wait()
        except TimeoutError:
            await self._kept.end()
        await asyncio.wait({self._waiting})

    def _active(self) -> None:
        self.active_at = time.monotonic()
        self._on_activity()

    def _wake(self) -> None:
        for reading in self.readings:
            reading.changed.set()

    # --- what the program writes ------------------------------------------------------------------

    def _pace(self) -> None:
        """Reads when somebody keeps up or nobody looks, and this tick's share is not used up."""
        if self._master is None:
            return
        end = self.scrollback.end
        behind = min((end - one.position for one in self.readings), default=0)
        wanted = behind <= LEAD_BYTES and self._timer is None
        if wanted and not self._reads:
            self._loop.add_reader(self._master, self._readable)
        elif self._reads and not wanted:
            self._loop.remove_reader(self._master)
        self._reads = wanted

    def _readable(self) -> None:
        assert self._master is not None  # noqa: S101  # it is no reader any more otherwise
        began = time.thread_time()
        try:
            content = os.read(self._master, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # EIO: nobody has the other end any more
            content = b""
        if not content:
            self._hang_up()
            return
        self._take_in(content)
        self._account(began, len(content))
        self._pace()

    def _take_in(self, content: bytes) -> None:
        if shown := self._sanitizer.feed(content):
            self.scrollback.append(shown)
            self._wake()
        self._active()

    def _account(self, began: float, size: int) -> None:
        now = time.monotonic()
        if now > self._tick_ends:
            self._tick_ends, self._tick_bytes, self._tick_busy = now + TICK_SECONDS, 0, 0.0
        self._tick_bytes += size
        self._tick_busy += time.thread_time() - began
        if self._tick_bytes > TICK_BYTES or self._tick_busy > TICK_BUSY_SECONDS:
            self._timer = self._loop.call_later(self._tick_ends - now, self._next_tick)

    def _next_tick(self) -> None:
        self._timer = None
        self._pace()

    # --- its size ---------------------------------------------------------------------------------

    def _resize_now(self) -> None:
        self._resizing = None
        if self._wanted == self.size or self._master is None:
            return
        self.size = self._wanted
        self._set_size(self.size)
        self._wake()
        self._resizing = self._loop.call_later(RESIZE_SECONDS, self._resize_now)

    def _set_size(self, size: Size) -> None:
        if self._master is not None:
            packed = struct.pack("HHHH", size.rows, size.columns, 0, 0)
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, packed)

    # --- its end ----------------------------------------------------------------------------------

    def _hang_up(self) -> None:
        for timer in (self._timer, self._resizing):
            if timer is not None:
                timer.cancel()
        if self._master is None:
            return
        master, self._master = self._master, None
        self._loop.remove_reader(master)
        self._typed.close()
        os.close(master)

    def _drain(self) -> None:
        """What the program wrote last is still in the PTY."""
        left = TICK_BYTES
        while self._master is not None and left > 0:
            try:
                content = os.read(self._master, READ_BYTES)
            except OSError:
                return
            if not content:
                return
            left -= len(content)
            self._take_in(content)

    async def _until_ended(self) -> None:
        code = await self._kept.wait()
        await self._kept.clear()
        self._drain()
        self._hang_up()
        self.exit_code = code
        self._ended.set()
        self._wake()


def shell_in(path: str) -> str:
    """The first of the shells that people expect which is there."""
    for folder in path.split(":"):
        if os.access(Path(folder) / "bash", os.X_OK):
            return str(Path(folder) / "bash")
    return "/bin/sh"
