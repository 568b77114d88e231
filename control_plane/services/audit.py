"""Who did what somebody may have to answer for."""

from uuid import UUID

from contracts.projects import AuditPage
from control_plane.domain.cursors import Window
from control_plane.store import audit_views as store
from control_plane.store.database import Database


class Audit:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def listed(self, projects: list[UUID], window: Window) -> AuditPage:
        async with self._database.reading() as connection:
            return await store.listed(connection, projects, window)
