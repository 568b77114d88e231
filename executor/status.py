"""What the executor says of itself to its manager."""

from collections.abc import Generator
from contextlib import contextmanager

from chassis.clock import Clock
from contracts.executors import ExecutorPhase

ENDED = frozenset({ExecutorPhase.STOPPED, ExecutorPhase.SUPERSEDED, ExecutorPhase.FAILED})


class Status:
    """`busy` is set apart from the phase: a run comes and goes while the executor is ready."""

    def __init__(self, clock: Clock) -> None:
        self.reason = self.detail = ""
        self._phase = ExecutorPhase.STARTING
        self._busy = False
        self._uses = 0
        self._clock = clock
        self._idle_since = clock.monotonic()

    @property
    def phase(self) -> ExecutorPhase:
        if self._phase is ExecutorPhase.READY and self._busy:
            return ExecutorPhase.BUSY
        return self._phase

    @property
    def ready(self) -> bool:
        return self._phase is ExecutorPhase.READY

    @property
    def ended(self) -> bool:
        return self._phase in ENDED

    @property
    def idle_seconds(self) -> float | None:
        if self._phase is not ExecutorPhase.READY or self._busy:
            return None
        if self._uses:
            return 0.0
        return self._clock.monotonic() - self._idle_since

    def enter(self, phase: ExecutorPhase, reason: str = "", detail: str = "") -> None:
        self._phase = phase
        self.reason = reason
        self.detail = detail
        self._idle_since = self._clock.monotonic()

    def touch(self) -> None:
        """Something happened that is no run."""
        self._idle_since = self._clock.monotonic()

    @contextmanager
    def in_use(self) -> Generator[None]:
        """By something that is no run: not idle, however quiet it is."""
        self._uses += 1
        try:
            yield
        finally:
            self._uses -= 1
            self.touch()

    def occupy(self) -> None:
        self._busy = True

    def relieve(self) -> None:
        self._busy = False
        self._idle_since = self._clock.monotonic()
