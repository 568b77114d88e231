"""Sessions are made, found, renamed and archived."""

from uuid import UUID

from chassis.errors import NotFound, Stale
from chassis.ids import new_id
from chassis.telemetry import current_trace_id
from contracts.checkouts import source_of
from contracts.errors import Code
from contracts.session_events import SessionCreated, SessionUpdated
from contracts.sessions import CreateSession, PatchSession, Session, SessionPage, SessionState
from control_plane.domain.cursors import Window
from control_plane.store import session_saves, session_states
from control_plane.store import sessions as store
from control_plane.store.database import Database, Unit
from control_plane.store.sessions import NewSession, SessionFilter


class Sessions:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, unit: Unit, new: NewSession, *, by: UUID) -> Session:
        """In the caller's transaction: its stream, its row, its first event."""
        await store.insert(unit, new, by=by)
        loaded = await session_states.lock(unit, [new.id])
        state = loaded.states[new.id]
        state.trace_id = current_trace_id()
        state.tell(SessionCreated(title=new.title, agent=new.agent), project=True)
        await session_saves.save(unit, loaded)
        return await self._existing(unit, new.id)

    async def get(self, session_id: UUID) -> Session:
        async with self._database.reading() as connection:
            found = await store.get(connection, session_id)
        if found is None:
            raise NotFound(Code.SESSION_NOT_FOUND, f"there is no session {session_id}")
        return found

    async def listed(
        self, *, projects: list[UUID], state: SessionState | None, window: Window
    ) -> SessionPage:
        async with self._database.reading() as connection:
            return await store.listed(
                connection, SessionFilter(projects=projects, state=state), window
            )

    async def patch(self, session_id: UUID, patch: PatchSession) -> Session:
        """Raises Stale `session_busy` when a session with a live run is to be archived."""
        async with self._database.unit() as unit:
            loaded = await session_states.lock(unit, [session_id])
            now = await self._existing(unit, session_id)
            title, state = _patched(now, patch)
            if (title, state) == (now.title, now.state):
                return now
            archives = state is SessionState.ARCHIVED and now.state is SessionState.ACTIVE
            if archives and not await store.line_is_empty(unit, session_id):
                raise Stale(Code.SESSION_BUSY, "cancel its runs, or wait for them, then archive it")
            await store.update(unit, session_id, title=title, state=state)
            told = loaded.states[session_id]
            told.trace_id = current_trace_id()
            archived = state is SessionState.ARCHIVED
            told.tell(SessionUpdated(title=title, archived=archived), project=True)
            await session_saves.save(unit, loaded)
            return await self._existing(unit, session_id)

    async def _existing(self, unit: Unit, session_id: UUID) -> Session:
        found = await store.get(unit.connection, session_id)
        if found is None:
            raise NotFound(Code.SESSION_NOT_FOUND, f"there is no session {session_id}")
        return found


def _patched(now: Session, patch: PatchSession) -> tuple[str, SessionState]:
    title = now.title if patch.title is None else patch.title
    if patch.archived is None:
        return title, now.state
    return title, SessionState.ARCHIVED if patch.archived else SessionState.ACTIVE


def draft(data: CreateSession, *, project_id: UUID, agent: str) -> NewSession:
    return NewSession(
        id=new_id(),
        project_id=project_id,
        title=data.title,
        agent=agent,
        app_id=data.app_id,
        model=data.model,
        mode=data.mode,
        provider_options=data.provider_options,
        workspace=source_of(data.workspace),
    )
