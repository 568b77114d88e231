"""A breaker: stops asking a target that failed many times in a row, then lets one call try."""

from collections.abc import Generator
from contextlib import contextmanager

from chassis.clock import Clock

THRESHOLD = 8
PAUSE_SECONDS = 1.0
PAUSE_LONGEST = 5.0
"""A target that came back waits this long for its callers, at most."""


class Breaker:
    """closed → THRESHOLD failures in a row → open for a pause → one probe → closed or open."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = PAUSE_SECONDS
        self._open_until = 0.0
        self._probing = False

    def refusal(self) -> float | None:
        """Seconds after which to ask again, or None if a call may be made now."""
        if self._failures < THRESHOLD:
            return None
        remaining = self._open_until - self._clock.monotonic()
        if remaining > 0:
            return remaining
        return self._pause if self._probing else None

    @contextmanager
    def watching(self) -> Generator[None]:
        """Around a call that was not refused; in it, the call tells `succeeded` or `failed`."""
        probe = self._failures >= THRESHOLD
        self._probing = self._probing or probe
        try:
            yield
        finally:
            # also when the probe was cancelled and told nothing: the next call is one
            if probe:
                self._probing = False

    def succeeded(self) -> None:
        self._failures = 0
        self._pause = PAUSE_SECONDS

    def failed(self) -> None:
        if self._failures < THRESHOLD:
            self._failures += 1
        elif self._probing:
            self._pause = min(self._pause * 2, PAUSE_LONGEST)
        # what was under way when it opened must not lengthen the pause
        if self._failures == THRESHOLD and self._clock.monotonic() >= self._open_until:
            self._open_until = self._clock.monotonic() + self._pause
