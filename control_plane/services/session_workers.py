"""Session workers as they are: read and listed, and what each session's may use."""

from uuid import UUID

import msgspec

from chassis.errors import NotFound
from contracts.errors import Code
from contracts.session_workers import (
    PatchSessionWorker,
    SessionWorker,
    SessionWorkerPage,
    SessionWorkerSettings,
)
from contracts.workers import WorkerLimits
from control_plane.domain.cursors import Window
from control_plane.store import audit, session_states
from control_plane.store import session_workers as store
from control_plane.store.database import Connection, Database, Unit
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

    async def settings(self, session_id: UUID) -> SessionWorkerSettings:
        async with self._database.reading() as connection:
            return await _existing(connection, session_id)

    async def patch(
        self, session_id: UUID, patch: PatchSessionWorker, *, by: UUID
    ) -> SessionWorkerSettings:
        """Under the session's lock: a claim that is under way gets the former limits or these."""
        async with self._database.unit() as unit:
            loaded = await session_states.lock(unit, [session_id])
            now = await _existing(unit.connection, session_id)
            own = _patched(now.own, patch)
            keep_warm = now.keep_warm if patch.keep_warm is msgspec.UNSET else patch.keep_warm
            if (own, keep_warm) == (now.own, now.keep_warm):
                return now
            await store.set_own(unit, session_id, own, keep_warm=keep_warm)
            project_id = loaded.states[session_id].session.project_id
            await _audit(unit, project_id, session_id, patch, by=by)
            return await _existing(unit.connection, session_id)


async def _existing(connection: Connection, session_id: UUID) -> SessionWorkerSettings:
    found = await store.settings(connection, session_id)
    if found is None:
        raise NotFound(Code.SESSION_NOT_FOUND, f"there is no session {session_id}")
    return found


def _patched(own: WorkerLimits, patch: PatchSessionWorker) -> WorkerLimits:
    asked = {name: getattr(patch, name) for name in WorkerLimits.__struct_fields__}
    named = {name: value for name, value in asked.items() if value is not msgspec.UNSET}
    return msgspec.structs.replace(own, **named)


async def _audit(
    unit: Unit, project_id: UUID, session_id: UUID, patch: PatchSessionWorker, *, by: UUID
) -> None:
    await audit.record(
        unit,
        project_id,
        actor=by,
        action="session_worker.patch",
        target=str(session_id),
        detail=msgspec.to_builtins(patch),
    )
