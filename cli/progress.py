"""How far something is that takes long: one line that changes on a terminal, a line now and then
where nobody looks.
"""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from cli.output import Output, printable
from contracts.events import WorkspaceProgress

DRAWN_EVERY = 0.2
TOLD_EVERY = 15.0
"""Seconds between lines that stay."""
CLEARED = "\r\x1b[2K"
UNITS = ("B", "kB", "MB", "GB", "TB")


class StatusLine:
    """On standard error. `clear` before anything else is written."""

    def __init__(self, output: Output, *, now: Callable[[], float] = time.monotonic) -> None:
        self._output = output
        self._now = now
        self._told_at = float("-inf")
        self._drawn = False

    def show(self, text: str) -> None:
        moment = self._now()
        live = self._output.err.is_terminal
        if moment - self._told_at < (DRAWN_EVERY if live else TOLD_EVERY):
            return
        self._told_at = moment
        if live:
            width = self._output.err.width - 1
            self._output.err.file.write(CLEARED + printable(text)[:width])
            self._output.err.file.flush()
            self._drawn = True
        else:
            self._output.note(text)

    def clear(self) -> None:
        if self._drawn:
            self._output.err.file.write(CLEARED)
            self._output.err.file.flush()
            self._drawn = False


class Meter:
    """Of one transfer: counts what went, shows it with rate and rest."""

    def __init__(
        self,
        status: StatusLine,
        what: str,
        *,
        total_files: int | None = None,
        total_bytes: int | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.files = 0
        self.bytes = 0
        self._status = status
        self._what = what
        self._total_files = total_files
        self._total_bytes = total_bytes
        self._now = now
        self._began = now()

    def expect(self, total_bytes: int, what: str | None = None) -> None:
        """Known only once it has begun: how much it is."""
        self._total_bytes = total_bytes
        self._what = what or self._what

    def add(self, *, files: int = 0, size: int = 0) -> None:
        """From any thread."""
        self.files += files
        self.bytes += size

    def went(self, size: int) -> None:
        self.add(size=size)
        self.show()

    def show(self) -> None:
        seconds = self._now() - self._began
        rate = int(self.bytes / seconds) if seconds > 0 else 0
        total, left = self._total_bytes, None
        if total is not None and total < self.bytes:
            total = None  # it was of the contents, and a tar is more
        if total is not None and rate:
            left = (total - self.bytes) / rate
        self._status.show(
            line(
                WorkspaceProgress(
                    phase="save",
                    files=self.files,
                    bytes=self.bytes,
                    total_files=self._total_files,
                    total_bytes=total,
                    bytes_per_second=rate,
                    eta_seconds=left,
                ),
                self._what,
            )
        )


@contextmanager
def metered(
    output: Output, what: str, *, total_files: int | None = None, total_bytes: int | None = None
) -> Generator[Meter]:
    status = StatusLine(output)
    try:
        yield Meter(status, what, total_files=total_files, total_bytes=total_bytes)
    finally:
        status.clear()


def line(told: WorkspaceProgress, what: str) -> str:
    files = [] if not told.files and told.total_files is None else [f"{told.files} files"]
    if told.total_files is not None:
        files = [f"{told.files}/{told.total_files} files"]
    size = amount(told.bytes)
    if told.total_bytes is not None:
        size = f"{size} of {amount(told.total_bytes)}"
    parts = [*files, size]
    if told.bytes_per_second:
        parts.append(f"{amount(told.bytes_per_second)}/s")
    if told.eta_seconds is not None:
        parts.append(f"{clock(told.eta_seconds)} left")
    return f"{what}: {', '.join(parts)}"


def amount(size: float) -> str:
    """As people read it: powers of a thousand."""
    for unit in UNITS[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {UNITS[-1]}"


def clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
