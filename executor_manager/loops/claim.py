"""Claims runs for as many workers as there is room, by long polls."""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

from chassis.errors import CallFailed
from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.logs import get_logger
from contracts.managers import ClaimedRun
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.registration import Registration
from executor_manager.services.workers import Workers

INTERVAL = 0.01
AWAY_SECONDS = 1.0

_log = get_logger()


@dataclass(slots=True, kw_only=True)
class ClaimLoop:
    """`claim_id` is repeated until it is answered: what a lost answer gave is given again."""

    control_plane: ControlPlane
    registration: Registration
    workers: Workers
    wait: float
    claim_id: UUID = field(default_factory=new_id)

    async def run_once(self) -> None:
        try:
            runs = await self._claim()
        except CallFailed as failure:
            _log.warning("claim_failed", error=str(failure))
            await asyncio.sleep(AWAY_SECONDS)
            return
        if runs is None:
            return
        await failpoint("claim.answered")
        self.claim_id = new_id()
        for run in runs:
            _log.info("claimed", run=run.run_id, attempt=run.attempt, worker=run.worker.worker_id)
            self.registration.accept(run)

    async def _claim(self) -> list[ClaimedRun] | None:
        """None: there is room where there was none, so ask anew, by the same id."""
        self.workers.room_made.clear()
        free = self.workers.free
        asking = asyncio.create_task(
            self.control_plane.claim(
                self.claim_id, free=free, agents=self.registration.agents, wait=self.wait
            )
        )
        room = asyncio.create_task(self.workers.room_made.wait())
        try:
            waited = {asking} if free else {asking, room}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            return await asking if asking.done() else None
        finally:
            for task in (asking, room):
                task.cancel()
            await asyncio.gather(asking, room, return_exceptions=True)
