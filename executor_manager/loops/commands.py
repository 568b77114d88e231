"""Fetches commands by long polls, and acknowledges those that executors took."""

import asyncio
from dataclasses import dataclass

from chassis.errors import CallFailed
from chassis.logs import get_logger
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.delivery import Delivery

INTERVAL = 0.01
AWAY_SECONDS = 1.0
UNCHANGED_SECONDS = 0.25
"""What is not acknowledged is told again at once: an executor that hangs must not make us spin."""

_log = get_logger()


@dataclass(slots=True, kw_only=True)
class CommandLoop:
    control_plane: ControlPlane
    delivery: Delivery
    wait: float

    async def run_once(self) -> None:
        done = self.delivery.take_done()
        try:
            told = await self.control_plane.commands(done, wait=self.wait)
        except CallFailed as failure:
            self.delivery.give_back(done)
            _log.warning("commands_failed", error=str(failure))
            await asyncio.sleep(AWAY_SECONDS)
            return
        except asyncio.CancelledError:
            self.delivery.give_back(done)
            raise
        self.delivery.accept(told)
        if told:
            await self._until_changed()

    async def _until_changed(self) -> None:
        try:
            async with asyncio.timeout(UNCHANGED_SECONDS):
                await self.delivery.changed.wait()
        except TimeoutError:
            return
