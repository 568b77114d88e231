"""How full the queue is and who works on it."""

from uuid import UUID

from contracts.tasks import SystemQueue, SystemWorkers
from control_plane.store import system as store
from control_plane.store.database import Database


class System:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def queue(self, projects: list[UUID]) -> SystemQueue:
        async with self._database.reading() as connection:
            return await store.queue(connection, projects)

    async def workers(self, projects: list[UUID]) -> SystemWorkers:
        """All managers, and the workers of these projects by state."""
        async with self._database.reading() as connection:
            return await store.workers(connection, projects)
