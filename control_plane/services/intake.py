"""What clients ask to be made: a session, a message, a run; each once, each in one transaction.

Session, idempotency key and run share the transaction: what was answered is there, and what failed
left nothing.
"""

from uuid import UUID

from chassis.errors import BerthError, NotFound
from chassis.telemetry import traceparent
from contracts.errors import Code
from contracts.runs import CreateRun, Run, RunOptions, SendMessage
from contracts.sessions import CreateSession, Session
from contracts.wire import Wire
from control_plane.domain.options import require_known
from control_plane.services.apps import Apps
from control_plane.services.idempotency import Ask, Idempotency, Once
from control_plane.services.room import Room
from control_plane.services.runs import Enqueued, Runs
from control_plane.services.sessions import Sessions, draft
from control_plane.store import runs as run_store
from control_plane.store import sessions as session_store
from control_plane.store import tasks as task_store
from control_plane.store.database import Unit


class Accepted(Wire, frozen=True, kw_only=True):
    """What an `Idempotency-Key` gives again."""

    run: Run
    seq: int
    """Of the run's first event in its session's stream."""


class Intake:
    def __init__(
        self,
        *,
        idempotency: Idempotency,
        apps: Apps,
        sessions: Sessions,
        line: Runs,
        room: Room,
    ) -> None:
        self._idempotency = idempotency
        self._apps = apps
        self._sessions = sessions
        self._line = line
        self._room = room

    async def create_session(
        self, ask: Ask, data: CreateSession, *, project_id: UUID, by: UUID
    ) -> Once[Session]:
        return await self._idempotency.once(
            ask, lambda unit: self.new_session(unit, data, project_id=project_id, by=by), Session
        )

    async def send(
        self, ask: Ask, data: SendMessage, *, session_id: UUID, by: UUID
    ) -> Once[Accepted]:
        async def work(unit: Unit) -> Accepted:
            await self._require_room(unit, ask)
            session = await self._existing(unit, session_id)
            return await self.enqueue(
                unit, session, data.text, data.options, task_id=data.task_id, by=by
            )

        return await self._idempotency.once(ask, work, Accepted, status=202)

    async def start(
        self, ask: Ask, data: CreateRun, *, project_id: UUID, by: UUID
    ) -> Once[Accepted]:
        """In the session that is named, else in a new one."""

        async def work(unit: Unit) -> Accepted:
            await self._require_room(unit, ask)
            if data.session_id is None:
                new = _session_of(data)
                session = await self.new_session(unit, new, project_id=project_id, by=by)
            else:
                session = await self._existing(unit, data.session_id)
                _require_fit(data, session)
            return await self.enqueue(
                unit, session, data.text, data.options, task_id=data.task_id, by=by
            )

        return await self._idempotency.once(ask, work, Accepted, status=202)

    async def retry(self, ask: Ask, *, run_id: UUID, by: UUID) -> Once[Accepted]:
        async def work(unit: Unit) -> Accepted:
            await self._require_room(unit, ask)
            run = await run_store.get(unit.connection, run_id)
            if run is not None:
                await self._apps.require_agent(unit, run.agent)
            queued = await self._line.retry(unit, run_id, by=by, traceparent=traceparent() or "")
            return await _accepted(unit, queued)

        return await self._idempotency.once(ask, work, Accepted, status=202)

    async def new_session(
        self, unit: Unit, data: CreateSession, *, project_id: UUID, by: UUID
    ) -> Session:
        """In the caller's transaction."""
        agent = await self._apps.agent_for(
            unit, project_id=project_id, app_id=data.app_id, asked=data.agent
        )
        await self._apps.require_agent(unit, agent)
        return await self._sessions.create(
            unit, draft(data, project_id=project_id, agent=agent), by=by
        )

    async def enqueue(
        self,
        unit: Unit,
        session: Session,
        text: str,
        options: RunOptions,
        *,
        task_id: UUID | None,
        by: UUID,
    ) -> Accepted:
        """In the caller's transaction. Nothing is accepted that no executor could ever run."""
        require_known(options)
        await self._apps.require_agent(unit, session.agent)
        if task_id is not None and not await task_store.exists(
            unit, project_id=session.project_id, task_id=task_id
        ):
            raise NotFound(Code.TASK_NOT_FOUND, f"task_id: there is no task {task_id}")
        queued = await self._line.enqueue(
            unit,
            session.id,
            prompt=text,
            options=options,
            by=by,
            task_id=task_id,
            traceparent=traceparent() or "",
        )
        return await _accepted(unit, queued)

    async def _require_room(self, unit: Unit, ask: Ask) -> None:
        """Within the transaction: a repeated request gets its first answer, however full it is."""
        if ask.waits:
            await self._room.require(unit)

    async def _existing(self, unit: Unit, session_id: UUID) -> Session:
        session = await session_store.get(unit.connection, session_id)
        if session is None:
            raise NotFound(Code.SESSION_NOT_FOUND, f"there is no session {session_id}")
        return session


async def _accepted(unit: Unit, queued: Enqueued) -> Accepted:
    run = await run_store.get(unit.connection, queued.run_id)
    if run is None:
        raise NotFound(Code.RUN_NOT_FOUND, f"there is no run {queued.run_id}")
    return Accepted(run=run, seq=queued.seq)


def _session_of(data: CreateRun) -> CreateSession:
    """Untitled, it is called by how its first message begins."""
    title = data.title if data.title is not None else data.text.strip().partition("\n")[0][:80]
    return CreateSession(
        title=title, agent=data.agent, app_id=data.app_id, workspace=data.workspace
    )


def _require_fit(data: CreateRun, session: Session) -> None:
    """What belongs to a new session must not contradict the one that is named."""
    pairs = {
        "agent": (data.agent, session.agent),
        "app_id": (data.app_id, session.app_id),
        "project_id": (data.project_id, session.project_id),
        "title": (data.title, session.title),
    }
    if data.workspace is not None:
        raise BerthError(
            Code.VALIDATION,
            "workspace: the session has one; leave it out",
            field="workspace",
            expected="nothing, where session_id is given",
        )
    for field, (asked, there) in pairs.items():
        if asked is not None and asked != there:
            raise BerthError(
                Code.VALIDATION,
                f"{field}: the session has another one; leave it out",
                field=field,
                expected="nothing, where session_id is given",
            )
