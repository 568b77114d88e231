"""What is being done to each worker: one duty at a time, and a graver one takes over."""

import asyncio
import enum
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from chassis.logs import bound, get_logger
from chassis.telemetry import span
from executor_manager.services.workers import Worker

_log = get_logger()


class Gravity(enum.IntEnum):
    START = 1
    """Activating, adopting, restarting."""
    RELEASED = 2
    SUPERSEDED = 3
    REMOVE = 4


@dataclass(frozen=True, slots=True)
class _Duty:
    gravity: Gravity
    task: asyncio.Task[None]


class Duties:
    def __init__(self) -> None:
        self._duties: dict[UUID, _Duty] = {}

    def busy(self, worker: Worker) -> bool:
        return worker.id in self._duties

    def start(
        self, worker: Worker, gravity: Gravity, work: Callable[[], Coroutine[Any, Any, None]]
    ) -> bool:
        """False, if one as grave is under way: then nothing; else that one is cancelled first."""
        present = self._duties.get(worker.id)
        if present is not None and present.gravity >= gravity:
            return False
        former = present.task if present else None
        task = asyncio.create_task(_run(worker, gravity, work, former), name=f"duty {worker.name}")
        self._duties[worker.id] = _Duty(gravity, task)
        task.add_done_callback(lambda done: self._ended(worker, done))
        return True

    async def stop(self) -> None:
        tasks = [duty.task for duty in self._duties.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def settled(self) -> None:
        """Until none is under way."""
        while tasks := [duty.task for duty in self._duties.values()]:
            await asyncio.wait(tasks)

    def _ended(self, worker: Worker, task: asyncio.Task[None]) -> None:
        present = self._duties.get(worker.id)
        if present is not None and present.task is task:
            del self._duties[worker.id]


async def _run(
    worker: Worker,
    gravity: Gravity,
    work: Callable[[], Coroutine[Any, Any, None]],
    former: asyncio.Task[None] | None,
) -> None:
    if former is not None:
        former.cancel()
        await asyncio.wait([former])
    name = gravity.name.lower()
    with (
        bound(worker=worker.id, session=worker.identity.session_id, epoch=worker.epoch, duty=name),
        span(f"worker {name}", worker=str(worker.id), session=str(worker.identity.session_id)),
    ):
        try:
            await work()
        except Exception:  # noqa: BLE001  # the top of a duty: the next verdict starts it again
            _log.exception("duty_failed")
