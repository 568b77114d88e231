"""`python -m control_plane.migrate`: brings the database to this version's schema.

Where an object store is set as well, also makes its bucket, and refuses one that does not do what
Berth needs. Both may still be starting: they are waited for, BERTH_MIGRATE_WAIT_SECONDS in all.
"""

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated

import asyncpg
import msgspec

import sql.migrate
from chassis.errors import DependencyUnavailable
from chassis.settings import Secret, SettingsError, load
from chassis.store.access import StoreAccess
from chassis.store.check import FULL, require_store
from chassis.store.visit import DEADLINE

LOOK_EVERY = 0.5

Attempt = Callable[[], Awaitable[DependencyUnavailable | None]]
"""Gives what may only be starting; raises what waiting would not mend."""

_STARTING = (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError)
_REFUSING = (
    ValueError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


class MigrateSettings(msgspec.Struct, frozen=True, kw_only=True):
    database_url: Secret
    object_store_url: str | None = None
    """None: the database alone."""
    migrate_wait_seconds: Annotated[float, msgspec.Meta(ge=0)] = 60.0


def main() -> None:
    try:
        settings = load(MigrateSettings)
        named = settings.object_store_url is not None
        store = load(StoreAccess, prefix="BERTH_OBJECT_STORE_") if named else None
        asyncio.run(migrate(settings, store))
    except SettingsError as error:
        sys.exit(str(error))
    except DependencyUnavailable as error:
        sys.exit(_words(error))
    sys.stdout.write(f"{sql.migrate.head_revision()}\n")


async def migrate(settings: MigrateSettings, store: StoreAccess | None) -> None:
    """Raises `DependencyUnavailable`."""
    ends = time.monotonic() + settings.migrate_wait_seconds
    await _once_there(partial(_database, settings.database_url), ends)
    if store is not None:
        await _once_there(partial(_bucket, store), ends)
        await require_store(store, FULL)


async def _once_there(attempt: Attempt, ends: float) -> None:
    told = ""
    while (missing := await attempt()) is not None:
        if time.monotonic() + LOOK_EVERY > ends:
            raise missing
        if told != (told := _words(missing)):
            sys.stderr.write(f"waiting: {told}\n")
        await asyncio.sleep(LOOK_EVERY)


async def _database(url: str) -> DependencyUnavailable | None:
    try:
        await sql.migrate.upgrade(url)
    except _STARTING as error:
        how = f"start Postgres, or correct BERTH_DATABASE_URL: {error}"
        return DependencyUnavailable("database", how)
    except _REFUSING as error:
        raise DependencyUnavailable("database", f"correct BERTH_DATABASE_URL: {error}") from error
    return None


async def _bucket(access: StoreAccess) -> DependencyUnavailable | None:
    store = access.open(deadline=DEADLINE)
    try:
        await store.ensure_bucket()
    except DependencyUnavailable as error:  # a store that starts may not know its keys yet
        return error
    finally:
        store.close()
    return None


def _words(error: DependencyUnavailable) -> str:
    return "; ".join(f"{one['what']}: {one['how']}" for one in error.details["missing"])


if __name__ == "__main__":
    main()
