"""One background duty: a pass every interval, or sooner when woken, until stopped."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from chassis.logs import get_logger
from chassis.metrics import Metrics
from chassis.telemetry import span

JITTER = 0.1
"""Replicas that started together should not work in step."""


class Loop:
    """`interval` is in seconds. A failed pass is logged and counted; the next comes in its time."""

    def __init__(
        self,
        name: str,
        interval: float,
        run_once: Callable[[], Awaitable[object]],
        metrics: Metrics,
    ) -> None:
        self.name = name
        self._interval = interval
        self._run_once = run_once
        self._metrics = metrics
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log = get_logger(loop=name)

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"loop {self.name}")

    async def stop(self) -> None:
        """Cancels a pass that is under way."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    def wake(self) -> None:
        """The next pass starts now, or right after the present one."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            await self._pass()
            pause = self._interval * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  # no secret
            try:
                async with asyncio.timeout(pause):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def _pass(self) -> None:
        try:
            with span(f"loop {self.name}"):
                await self._run_once()
        except Exception:  # noqa: BLE001  # the top of a loop: a duty outlives its failures
            self._metrics.loop_passes.labels(self.name, "failed").inc()
            self._log.exception("loop_failed")
        else:
            self._metrics.loop_passes.labels(self.name, "done").inc()
