"""Commands reach their executors, each worker's in order, none behind another worker's.

Taken is what the executor says it took; only that is acknowledged, and until then the control plane
tells it again.
"""

import asyncio
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from chassis.errors import CallFailed
from chassis.logs import bound, get_logger
from contracts.commands import RemoveWorker
from contracts.managers import WorkerCommand
from executor_manager.containers.backend import ContainerBackend, Identity
from executor_manager.services.duties import Duties, Gravity
from executor_manager.services.executors import Executors
from executor_manager.services.retirement import Retirement
from executor_manager.services.workers import Stage, Worker, Workers

RETRY_FIRST = 0.1
RETRY_LONGEST = 2.0

_log = get_logger()


@dataclass(slots=True, kw_only=True)
class Delivery:
    workers: Workers
    backend: ContainerBackend
    executors: Executors
    duties: Duties
    retirement: Retirement
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Something was taken, and can be acknowledged."""
    _done: list[UUID] = field(default_factory=list[UUID])
    _open: set[UUID] = field(default_factory=set[UUID])
    _tasks: dict[UUID, asyncio.Task[None]] = field(default_factory=dict[UUID, asyncio.Task[None]])

    def take_done(self) -> list[UUID]:
        self.changed.clear()
        done, self._done = self._done, []
        return done

    def give_back(self, done: list[UUID]) -> None:
        self._done = [*done, *self._done]

    def accept(self, told: list[WorkerCommand]) -> None:
        """What is told again and already under way changes nothing. Waits for nobody."""
        ids = {one.command.id for one in told}
        self._open &= ids  # what is not told any more died with its epoch
        for one in told:
            command = one.command
            if command.id in self._open or command.id in self._done:
                continue
            if isinstance(command, RemoveWorker):
                self._remove(one)
            elif (worker := self.workers.get(one.worker_id)) and worker.epoch == one.epoch:
                self._open.add(command.id)
                worker.inbox[command.id] = command
                self._ensure(worker)

    async def stop(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _finish(self, command_id: UUID) -> None:
        self._open.discard(command_id)
        self._done.append(command_id)
        self.changed.set()

    def _ensure(self, worker: Worker) -> None:
        if worker.id in self._tasks:
            return
        task = asyncio.create_task(self._deliver(worker), name=f"delivery {worker.name}")
        self._tasks[worker.id] = task
        task.add_done_callback(lambda _: self._tasks.pop(worker.id, None))

    async def _deliver(self, worker: Worker) -> None:
        pause = RETRY_FIRST
        with bound(worker=worker.id, session=worker.identity.session_id, epoch=worker.epoch):
            while worker.inbox and self.workers.get(worker.id) is worker:
                await worker.answering.wait()
                # those that the control plane stopped telling are void
                for void in [one for one in worker.inbox if one not in self._open]:
                    del worker.inbox[void]
                if await self._deliver_once(worker):
                    pause = RETRY_FIRST
                else:
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, RETRY_LONGEST)

    async def _deliver_once(self, worker: Worker) -> bool:
        """False: nothing was taken."""
        commands = list(worker.inbox.values())
        if not commands:
            return True
        try:
            taken = await self.executors.deliver(worker, commands)
        except CallFailed as failure:
            _log.info("delivery_failed", commands=len(commands), error=str(failure))
            return False
        for command_id in taken:
            if worker.inbox.pop(command_id, None) is not None:
                self._finish(command_id)
        return bool(taken)

    def _remove(self, told: WorkerCommand) -> None:
        """For ourselves: it is done when the volume is gone."""
        worker = self.workers.get(told.worker_id)
        if worker is not None and not worker.setbacks.over:
            return  # told again, it is tried later
        self._open.add(told.command.id)
        work = partial(self._remove_now, told, worker)
        if not self.duties.start(worker or _unknown(told), Gravity.REMOVE, work):
            self._open.discard(told.command.id)  # told again, it is tried behind the present one

    async def _remove_now(self, told: WorkerCommand, worker: Worker | None) -> None:
        command_id = told.command.id
        try:
            await self.retirement.remove_by_force(worker or await self._find(told))
        except BaseException:
            self._open.discard(command_id)  # told again, it is tried again
            raise
        self._finish(command_id)

    async def _find(self, told: WorkerCommand) -> Worker:
        """One that we have on disk at most; what is not there at all is removed already."""
        for container in (await self.backend.list()).containers:
            if container.identity.worker_id == told.worker_id:
                return Worker(identity=container.identity, token="", stage=Stage.STOPPED)
        return _unknown(told)


def _unknown(told: WorkerCommand) -> Worker:
    identity = Identity(
        worker_id=told.worker_id,
        session_id=UUID(int=0),
        project_id=UUID(int=0),
        epoch=told.epoch,
    )
    return Worker(identity=identity, token="", stage=Stage.STOPPED)
