"""Checkpoints of an attempt: saves in the background, which nobody waits for."""

import asyncio
from collections.abc import Awaitable, Callable

from chassis.clock import Clock
from chassis.logs import get_logger
from executor.reporter import RunReporter
from executor.services.holding import Agent
from executor.workspace.errors import WorkspaceError
from executor.workspace.transfer import Superseded

_log = get_logger()

Begin = Callable[[], tuple[RunReporter, Agent]]
"""Called when nothing else saves any more, right before it reads: whose it is, and who stands still
while it does.
"""


class Checkpoints:
    """One at a time, and not before the interval since the last one began is over."""

    def __init__(
        self, save: Callable[[Begin], Awaitable[None]], *, interval: float, clock: Clock
    ) -> None:
        self._save = save
        self._interval = interval
        self._clock = clock
        self._began_at = clock.monotonic()
        self._running: asyncio.Task[None] | None = None
        self._asked: tuple[RunReporter, Agent] | None = None
        """Who asked last, since the last one began to read: by the time it is due, another attempt
        may be under way.
        """

    def soon(self, run: RunReporter, agent: Agent) -> None:
        self._asked = run, agent
        if self._running is None:
            self._running = asyncio.create_task(self._run(), name="checkpoint")

    async def stop(self) -> None:
        self._asked = None
        if (task := self._running) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        """Also what is asked for while one is read, which it may have missed."""
        try:
            while self._asked is not None:
                await self._next()
        finally:
            self._running = None

    async def _next(self) -> None:
        try:
            due = self._began_at + self._interval
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))
            await self._save(self._begin)
        except (WorkspaceError, OSError, Superseded) as error:
            # the next one, or the run's own save, makes up for it
            _log.warning("checkpoint_failed", reason=str(error))

    def _begin(self) -> tuple[RunReporter, Agent]:
        self._began_at = self._clock.monotonic()
        assert self._asked is not None  # noqa: S101  # set by who began this
        asked, self._asked = self._asked, None
        return asked
