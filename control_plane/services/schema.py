"""Is the database there, and is its schema the one that this code was written for?"""

import asyncpg

from chassis.errors import DependencyUnavailable
from control_plane.store import schema as store
from control_plane.store.database import Database

UNREACHABLE = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


class Schema:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted = store.wanted()

    async def check(self) -> None:
        """Raises `DependencyUnavailable` that says what to do."""
        try:
            async with self._database.reading() as connection:
                found = await store.revision(connection)
        except UNREACHABLE as error:
            how = f"start Postgres, or correct BERTH_DATABASE_URL: {type(error).__name__}"
            raise DependencyUnavailable("database", how, retry_after=1) from error
        if found != self._wanted:
            how = (
                f"migrate it with `python -m control_plane.migrate`: its schema is at"
                f" {found or 'nothing'}, this version needs {self._wanted}"
            )
            raise DependencyUnavailable("database", how)
