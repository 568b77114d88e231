"""Asks every executor how it is, each at its own pace: one that hangs delays no other."""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

from chassis.errors import CallFailed
from chassis.logs import get_logger
from executor_manager.services.executors import Executors, NotItsExecutor
from executor_manager.services.workers import Stage, Worker, Workers

_log = get_logger()


@dataclass(slots=True, kw_only=True)
class StatusLoop:
    workers: Workers
    executors: Executors
    _asking: dict[UUID, asyncio.Task[None]] = field(default_factory=dict[UUID, asyncio.Task[None]])

    async def run_once(self) -> None:
        """Does not wait for the answers."""
        for worker in self.workers:
            if worker.stage is Stage.LIVE and worker.id not in self._asking:
                task = asyncio.create_task(self._ask(worker), name=f"status {worker.name}")
                self._asking[worker.id] = task
                task.add_done_callback(lambda _, key=worker.id: self._asking.pop(key, None))

    async def stop(self) -> None:
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)

    async def _ask(self, worker: Worker) -> None:
        try:
            worker.status = await self.executors.status(worker)
        except CallFailed as failure:
            _log.debug("executor_silent", worker=worker.id, error=str(failure))
        except NotItsExecutor as error:
            _log.error("another_executor", worker=worker.id, error=str(error))
        else:
            worker.answered_at = asyncio.get_running_loop().time()
            worker.answering.set()
