"""Session workers as they are: read and listed."""

from uuid import UUID

from chassis.errors import NotFound
from contracts.errors import Code
from contracts.session_workers import SessionWorker, SessionWorkerPage
from control_plane.domain.cursors import Window
from control_plane.store import session_workers as store
from control_plane.store.database import Database
from control_plane.store.session_workers import WorkerFilter


class SessionWorkers:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_session(self, session_id: UUID) -> SessionWorker:
        """Its current one, else the newest that is still there; raises `worker_not_found`."""
        async with self._database.reading() as connection:
            found = await store.of_session(connection, session_id)
        if found is None:
            raise NotFound(Code.WORKER_NOT_FOUND, f"session {session_id} has no worker")
        return found

    async def listed(
        self, *, projects: list[UUID], session_id: UUID | None, window: Window
    ) -> SessionWorkerPage:
        wanted = WorkerFilter(projects=projects, session_id=session_id)
        async with self._database.reading() as connection:
            return await store.listed(connection, wanted, window)
