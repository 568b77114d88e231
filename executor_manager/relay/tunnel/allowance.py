"""How many bytes one worker's tunnels may pass in an hour, both ways together."""

from collections import deque
from collections.abc import Callable

MIB = 1024 * 1024
PART_SECONDS = 60.0
PARTS = 60
"""The hour that counts is the last one, to a minute; there is no moment when all is new again."""


class Allowance:
    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._parts: deque[list[int]] = deque()
        """Each: which minute, and the bytes of it."""
        self._used = 0

    def left(self, *, mib_per_hour: int) -> int:
        self._forget()
        return max(mib_per_hour * MIB - self._used, 0)

    def take(self, size: int, *, mib_per_hour: int) -> bool:
        """Whether it was there. If not, it counts as used up: what is left for smaller parts would
        only make the end a slow one.
        """
        left = self.left(mib_per_hour=mib_per_hour)
        taken = min(size, left)
        part = self._part()
        if not self._parts or self._parts[-1][0] != part:
            self._parts.append([part, 0])
        self._parts[-1][1] += taken
        self._used += taken
        return taken == size

    def _forget(self) -> None:
        """What is older than an hour."""
        part = self._part()
        while self._parts and self._parts[0][0] <= part - PARTS:
            self._used -= self._parts.popleft()[1]

    def _part(self) -> int:
        return int(self._now() // PART_SECONDS)
