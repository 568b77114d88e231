"""Tasks: what is to be done. People make and change them; runs move them on."""

from collections.abc import Sequence
from uuid import UUID

from chassis.errors import BerthError, NotFound, Stale
from chassis.failpoints import failpoint
from chassis.ids import new_id
from contracts.errors import Code
from contracts.sessions import CreateSession, Session
from contracts.task_events import TaskCreated, TaskTransitioned, TaskUpdated
from contracts.tasks import CreateTask, PatchTask, RunTask, Task, TaskPage, TaskState
from control_plane.domain import tasks as domain
from control_plane.domain.cursors import Window
from control_plane.services.idempotency import Ask, Idempotency, Once
from control_plane.services.intake import Accepted, Intake
from control_plane.store import apps as app_store
from control_plane.store import sessions as session_store
from control_plane.store import tasks as store
from control_plane.store.database import Database, Unit
from control_plane.store.tasks import NewTask, TaskFilter


class Tasks:
    def __init__(self, database: Database, *, idempotency: Idempotency, intake: Intake) -> None:
        self._database = database
        self._idempotency = idempotency
        self._intake = intake

    async def create(self, ask: Ask, data: CreateTask, *, project_id: UUID, by: UUID) -> Once[Task]:
        """Nothing depends on a new task, so that its own dependencies form no cycle."""

        async def work(unit: Unit) -> Task:
            await _require_places(unit, data, project_id)
            task_id = new_id()
            new = NewTask(
                id=task_id,
                project_id=project_id,
                title=data.title,
                description=data.description,
                session_id=data.session_id,
                agent=data.agent,
                app_id=data.app_id,
            )
            await store.insert(unit, new, by=by)
            depends_on = await _known(unit, project_id, data.depends_on)
            await store.set_dependencies(
                unit, project_id=project_id, task_id=task_id, depends_on=depends_on
            )
            created = TaskCreated(task_id=task_id, title=data.title, state=TaskState.OPEN.value)
            await store.tell(unit, project_id, created)
            return await _existing(unit, task_id)

        return await self._idempotency.once(ask, work, Task)

    async def get(self, task_id: UUID) -> Task:
        async with self._database.reading() as connection:
            found = await store.get(connection, task_id)
        if found is None:
            raise NotFound(Code.TASK_NOT_FOUND, f"there is no task {task_id}")
        return found

    async def listed(
        self,
        *,
        projects: list[UUID],
        session_id: UUID | None,
        states: list[TaskState],
        window: Window,
    ) -> TaskPage:
        wanted = TaskFilter(projects=projects, session_id=session_id, states=states)
        async with self._database.reading() as connection:
            return await store.listed(connection, wanted, window)

    async def patch(self, task_id: UUID, data: PatchTask, *, project_id: UUID) -> Task:
        """Raises Stale: `version_conflict`, `illegal_transition`, `dependency_cycle`."""
        async with self._database.unit() as unit:
            if data.depends_on is not None:
                # before the task's own row, as the projector takes them
                await store.lock_project(unit, project_id)
                await failpoint("task.project_locked")
            await store.lock(unit, task_id)
            task = await _existing(unit, task_id)
            if data.expected_version != task.version:
                raise Stale(
                    Code.VERSION_CONFLICT,
                    f"the task is at version {task.version} now; read it again",
                    version=task.version,
                )
            changed = await self._apply(unit, task, data)
            return await _existing(unit, task_id) if changed else task

    async def _apply(self, unit: Unit, task: Task, data: PatchTask) -> bool:
        state = data.state or task.state
        if state is not task.state:
            domain.require_by_hand(task.state, state)
        fields = [
            name for name in ("title", "description", "depends_on") if _differs(task, data, name)
        ]
        if data.depends_on is not None and "depends_on" in fields:
            await self._set_dependencies(unit, task, data.depends_on)
        if not fields and state is task.state:
            return False
        await store.update(
            unit,
            task.id,
            title=task.title if data.title is None else data.title,
            description=task.description if data.description is None else data.description,
            state=state,
        )
        version = task.version + 1
        if fields:
            updated = TaskUpdated(task_id=task.id, version=version, fields=fields)
            await store.tell(unit, task.project_id, updated)
        if state is not task.state:
            await _tell_moved(unit, task, state, cause="patch")
        return True

    async def _set_dependencies(self, unit: Unit, task: Task, depends_on: Sequence[UUID]) -> None:
        """Under the project's lock: two changes together cannot form what neither does alone."""
        known = await _known(unit, task.project_id, depends_on)
        if await store.reaches(unit, task_id=task.id, depends_on=known):
            raise Stale(
                Code.DEPENDENCY_CYCLE,
                "depends_on: the task would wait for itself",
                task=str(task.id),
            )
        await store.set_dependencies(
            unit, project_id=task.project_id, task_id=task.id, depends_on=known
        )

    async def run(self, ask: Ask, task_id: UUID, data: RunTask, *, by: UUID) -> Once[Accepted]:
        """In its session, or a new one. Raises Stale `conflict` that names what is not done yet."""

        async def work(unit: Unit) -> Accepted:
            await store.lock(unit, task_id)
            task = await _existing(unit, task_id)
            domain.require_run(task.state)
            await _require_done(unit, task)
            session = await self._session(unit, task, by)
            accepted = await self._intake.enqueue(
                unit, session, _prompt(task, data), data.options, task_id=task_id, by=by
            )
            await store.run(unit, task_id, session_id=session.id, run_id=accepted.run.id)
            await _tell_moved(unit, task, TaskState.RUNNING, cause=f"run {accepted.run.id}")
            return accepted

        return await self._idempotency.once(ask, work, Accepted, status=202)

    async def _session(self, unit: Unit, task: Task, by: UUID) -> Session:
        if task.session_id is not None:
            found = await session_store.get(unit.connection, task.session_id)
            if found is not None:
                return found
        new = CreateSession(title=task.title, agent=task.agent, app_id=task.app_id)
        return await self._intake.new_session(unit, new, project_id=task.project_id, by=by)


async def _existing(unit: Unit, task_id: UUID) -> Task:
    found = await store.get(unit.connection, task_id)
    if found is None:
        raise NotFound(Code.TASK_NOT_FOUND, f"there is no task {task_id}")
    return found


async def _require_places(unit: Unit, data: CreateTask, project_id: UUID) -> None:
    """The session and the app that are named belong to the project."""
    if data.session_id is not None:
        session = await session_store.get(unit.connection, data.session_id)
        if session is None or session.project_id != project_id:
            raise NotFound(Code.SESSION_NOT_FOUND, f"there is no session {data.session_id}")
    if data.app_id is not None:
        agent = await app_store.agent_of(unit.connection, project_id=project_id, app_id=data.app_id)
        if agent is None:
            raise NotFound(Code.APP_NOT_FOUND, f"there is no app {data.app_id}")


async def _known(unit: Unit, project_id: UUID, depends_on: Sequence[UUID]) -> list[UUID]:
    """Each once; raises `task_not_found` that names what is none of the project's."""
    wanted = sorted(set(depends_on))
    missing = await store.missing(unit, project_id=project_id, task_ids=wanted)
    if missing:
        names = ", ".join(str(one) for one in missing)
        raise NotFound(Code.TASK_NOT_FOUND, f"depends_on: there is no task {names}")
    return wanted


async def _require_done(unit: Unit, task: Task) -> None:
    undone = await store.undone(unit, task.id)
    if undone:
        names = ", ".join(f"{one.title} ({one.state})" for one in undone)
        raise BerthError(
            Code.CONFLICT,
            f"it depends on what is not done yet: {names}",
            undone=[{"id": str(one.id), "state": one.state} for one in undone],
        )


async def _tell_moved(unit: Unit, task: Task, new: TaskState, *, cause: str) -> None:
    moved = TaskTransitioned(
        task_id=task.id,
        old=task.state.value,
        new=new.value,
        version=task.version + 1,
        cause=cause,
    )
    await store.tell(unit, task.project_id, moved)


def _differs(task: Task, data: PatchTask, field: str) -> bool:
    asked = getattr(data, field)
    if field == "depends_on":
        return asked is not None and sorted(set(asked)) != task.depends_on
    return asked is not None and asked != getattr(task, field)


def _prompt(task: Task, data: RunTask) -> str:
    if data.text is not None:
        return data.text
    return f"{task.title}\n\n{task.description}".strip()
