"""What is passed on right now, so that a stop can cut it."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

STOP_SECONDS = 5.0


class UnderWay:
    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    @contextmanager
    def noted(self) -> Generator[None]:
        """The present task, within."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call is made in a task")
        self._tasks.add(task)
        try:
            yield
        finally:
            self._tasks.discard(task)

    async def cut(self) -> None:
        if tasks := set(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
