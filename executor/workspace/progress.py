"""How far a save or a restore is, counted where the work is done."""

import time
from typing import Literal

Phase = Literal["save", "restore"]


class Progress:
    """Counted by any thread: a number that is a little behind harms nobody."""

    def __init__(self, phase: Phase) -> None:
        self.phase: Phase = phase
        self.files = 0
        self.bytes = 0
        self.total_files: int | None = None
        self.total_bytes: int | None = None
        self._began = time.monotonic()

    def add(self, size: int, *, files: int = 1) -> None:
        self.files += files
        self.bytes += size

    def expect(self, *, size: int, files: int | None = None) -> None:
        self.total_files, self.total_bytes = files, size

    @property
    def expected_bytes(self) -> int | None:
        """What a save expects is what there was the last time: it may find more."""
        return None if self.total_bytes is None else max(self.total_bytes, self.bytes)

    @property
    def bytes_per_second(self) -> int:
        return round(self.bytes / max(time.monotonic() - self._began, 0.001))

    @property
    def eta_seconds(self) -> float | None:
        """By bytes where there are many, else by files: None without totals, or at the start."""
        shares = [
            done / total
            for done, total in ((self.files, self.total_files), (self.bytes, self.total_bytes))
            if total
        ]
        if not shares or not min(shares):
            return None
        share = min(*shares, 1.0)
        return round((time.monotonic() - self._began) * (1 - share) / share, 1)
