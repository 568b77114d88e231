"""What must be there before the control plane starts."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from chassis.errors import DependencyUnavailable
from chassis.logs import get_logger
from chassis.store.check import QUICK, UnfitStore, require_store
from control_plane.services.schema import UNREACHABLE, Schema
from control_plane.settings import Settings
from control_plane.store.database import Database, Wakes, open_pool

STORE_WITHIN = 10.0
"""Seconds in which a store that is there has answered all that a start asks of it."""

_log = get_logger()


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


async def preflight(settings: Settings) -> bool:
    """Raises `DependencyUnavailable`: no database, not this version's schema, an unfit store.

    A store that is away keeps nobody from starting: most of what we do needs none. False then: it
    is to be tried when it is back.
    """
    async with database(settings.database_url) as opened:
        await Schema(opened).check()
    try:
        async with asyncio.timeout(STORE_WITHIN):
            await require_store(settings.object_store, QUICK)
    except UnfitStore:
        raise
    except (DependencyUnavailable, TimeoutError) as error:
        _log.warning("object_store_away", reason=str(error) or type(error).__name__)
        return False
    return True
