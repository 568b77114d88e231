"""Ends and removals that the backend refuses: tried again later and later, never given up."""

import asyncio
from dataclasses import dataclass

from executor_manager.containers.errors import BackendError, Unreachable

PAUSE_FIRST = 0.5
PAUSE_LONGEST = 60.0
DOUBLINGS = 20
STUCK_AFTER = 4
"""Refusals in a row."""


@dataclass(slots=True)
class Setbacks:
    count: int = 0
    refusals: int = 0
    told: bool = False
    """That it is stuck."""
    _until: float = 0.0
    """By the event loop's clock."""

    @property
    def over(self) -> bool:
        """It may be tried now."""
        return asyncio.get_running_loop().time() >= self._until

    @property
    def stuck(self) -> bool:
        return self.refusals >= STUCK_AFTER

    def add(self, error: BackendError) -> None:
        """A backend that is away refuses nobody in particular."""
        pause = growing(PAUSE_FIRST, self.count)
        self.count += 1
        self.refusals += not isinstance(error, Unreachable)
        self._until = asyncio.get_running_loop().time() + pause

    def clear(self) -> None:
        self.count = self.refusals = 0
        self._until = 0.0
        self.told = False


def growing(first: float, times: int) -> float:
    """Seconds: doubled so many times, a minute at most. Also of what fails for days."""
    return min(first * 2 ** min(times, DOUBLINGS), PAUSE_LONGEST)
