"""A breaker: stops asking a target that failed many times in a row, then lets one call try."""

from collections.abc import Generator
from contextlib import contextmanager

from chassis.clock import Clock

THRESHOLD = 8
PAUSE_SECONDS = 1.0
PAUSE_LONGEST = 5.0
"""A target that came back waits this long for its callers, at most."""
PROBE_SECONDS = 1.0
"""A probe without an answer for so long lets another call be one too: a long poll that is heard
well says nothing for many seconds, and heartbeats must not wait for it.
"""


class Breaker:
    """closed → THRESHOLD failures in a row → open for a pause → one probe → closed or open."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._pause = PAUSE_SECONDS
        self._open_until = 0.0
        self._probes = 0
        self._probed_at = 0.0

    def refusal(self) -> float | None:
        """Seconds after which to ask again, or None if a call may be made now."""
        if self._failures < THRESHOLD:
            return None
        allowed_at = self._open_until
        if self._probes:
            allowed_at = max(allowed_at, self._probed_at + PROBE_SECONDS)
        remaining = allowed_at - self._clock.monotonic()
        return remaining if remaining > 0 else None

    @contextmanager
    def watching(self) -> Generator[None]:
        """Around a call that was not refused; in it, the call tells `succeeded` or `failed`."""
        probe = self._failures >= THRESHOLD
        if probe:
            self._probes += 1
            self._probed_at = self._clock.monotonic()
        try:
            yield
        finally:
            # also when the probe was cancelled and told nothing: the next call is one
            self._probes -= probe

    def succeeded(self) -> None:
        self._failures = 0
        self._pause = PAUSE_SECONDS

    def failed(self) -> None:
        if self._failures < THRESHOLD:
            self._failures += 1
        elif self._probes:
            self._pause = min(self._pause * 2, PAUSE_LONGEST)
        # what was under way when it opened must not lengthen the pause
        if self._failures == THRESHOLD and self._clock.monotonic() >= self._open_until:
            self._open_until = self._clock.monotonic() + self._pause
