"""The process's own time, for waiting, measuring and showing; leases are the database's."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def monotonic(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def wall_time() -> datetime:
    """In UTC. For logs, displays and token expiries only: it may jump."""
    return datetime.now(UTC)  # noqa: TID251  # the one place that reads the wall clock
