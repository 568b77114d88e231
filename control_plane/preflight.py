"""What must be there before the control plane starts."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from chassis.errors import DependencyUnavailable
from control_plane.services.schema import UNREACHABLE, Schema
from control_plane.store.database import Database, Wakes, open_pool


class Nobody:
    """A waker where nothing waits."""

    def publish(self, wakes: Wakes) -> None:
        """Nobody is told."""


@asynccontextmanager
async def database(url: str) -> AsyncGenerator[Database]:
    """For one short command; raises `DependencyUnavailable`."""
    try:
        pool = await open_pool(url, size=2, application="berth-command")
    except (*UNREACHABLE, ValueError) as error:
        how = f"start Postgres, or correct BERTH_DATABASE_URL: {error or type(error).__name__}"
        raise DependencyUnavailable("database", how) from error
    opened = Database(pool, Nobody())
    try:
        yield opened
    finally:
        await opened.close()


async def preflight(url: str) -> None:
    """Raises `DependencyUnavailable`: no database, or not this version's schema."""
    async with database(url) as opened:
        await Schema(opened).check()
