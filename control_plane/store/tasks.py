"""Tasks: rows, dependencies, and what is told of them by the outbox."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import func, select
from sqlalchemy.sql.functions import Function

from chassis.telemetry import current_trace_id
from contracts.events import AnyEvent
from contracts.tasks import Task, TaskPage, TaskState
from control_plane.domain.cursors import Window
from control_plane.store.database import Connection, Unit
from control_plane.store.pages import AnySelect, fetch, page
from control_plane.store.session_states import QUERIES as STATE_QUERIES
from sql.named import load as load_queries
from sql.tables import task_dependencies, tasks

QUERIES = load_queries("tasks")

_tasks = tasks.c
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    id: UUID
    project_id: UUID
    title: str
    description: str
    session_id: UUID | None
    agent: str | None
    app_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFilter:
    projects: Sequence[UUID]
    session_id: UUID | None = None
    states: Sequence[TaskState] = ()

    @property
    def scope(self) -> str:
        states = sorted(state.value for state in self.states)
        return f"tasks {sorted(self.projects)} {self.session_id} {states}"


@dataclass(frozen=True, slots=True)
class Undone:
    id: UUID
    title: str
    state: str


async def exists(unit: Unit, *, project_id: UUID, task_id: UUID) -> bool:
    return await unit.connection.fetchval(QUERIES["exists"], project_id, task_id)


async def get(connection: Connection, task_id: UUID) -> Task | None:
    records = await fetch(connection, _selected().where(_tasks.id == task_id))
    return _task(records[0]) if records else None


async def listed(connection: Connection, wanted: TaskFilter, window: Window) -> TaskPage:
    statement = _selected().where(_tasks.project_id.in_(wanted.projects))
    if wanted.session_id is not None:
        statement = statement.where(_tasks.session_id == wanted.session_id)
    if wanted.states:
        statement = statement.where(_tasks.state.in_([state.value for state in wanted.states]))
    items, cursor = await page(
        connection, statement, key=_tasks.id, scope=wanted.scope, window=window, make=_task
    )
    return TaskPage(items=items, next_cursor=cursor)


async def lock(unit: Unit, task_id: UUID) -> None:
    """What is read of it afterwards stays so until the end."""
    await unit.connection.fetchrow(QUERIES["lock"], task_id)


async def lock_project(unit: Unit, project_id: UUID) -> None:
    await unit.connection.fetchrow(QUERIES["lock_project"], project_id)


async def insert(unit: Unit, new: NewTask, *, by: UUID) -> None:
    await unit.connection.execute(
        QUERIES["insert"],
        new.id,
        new.project_id,
        new.title,
        new.description,
        new.session_id,
        new.agent,
        new.app_id,
        by,
    )


async def update(
    unit: Unit, task_id: UUID, *, title: str, description: str, state: TaskState
) -> None:
    """Raises its version by one."""
    await unit.connection.execute(QUERIES["update"], task_id, title, description, state.value)


async def run(unit: Unit, task_id: UUID, *, session_id: UUID, run_id: UUID) -> None:
    """Running now; raises its version by one."""
    await unit.connection.execute(QUERIES["run"], task_id, session_id, run_id)


async def missing(unit: Unit, *, project_id: UUID, task_ids: Sequence[UUID]) -> list[UUID]:
    records = await unit.connection.fetch(QUERIES["missing"], project_id, list(task_ids))
    return [record["id"] for record in records]


async def set_dependencies(
    unit: Unit, *, project_id: UUID, task_id: UUID, depends_on: Sequence[UUID]
) -> None:
    await unit.connection.execute(QUERIES["drop_dependencies"], task_id)
    if depends_on:
        await unit.connection.execute(
            QUERIES["insert_dependencies"], project_id, task_id, list(depends_on)
        )


async def reaches(unit: Unit, *, task_id: UUID, depends_on: Sequence[UUID]) -> bool:
    """Whether these dependencies would lead back to the task."""
    return await unit.connection.fetchval(QUERIES["reaches"], task_id, list(depends_on))


async def undone(unit: Unit, task_id: UUID) -> list[Undone]:
    records = await unit.connection.fetch(QUERIES["undone"], task_id)
    return [Undone(record["id"], record["title"], record["state"]) for record in records]


async def tell(unit: Unit, project_id: UUID, event: AnyEvent) -> None:
    """On the project's stream, by the outbox: in this transaction, without that stream's lock."""
    columns: list[list[Any]] = [
        [project_id],
        [None],
        [None],
        [None],
        ["event"],
        [_encode(event).decode()],
        [current_trace_id()],
    ]
    await unit.connection.execute(STATE_QUERIES["insert_outbox"], *columns)
    unit.wakes.outbox = True


def _selected() -> AnySelect:
    edge = task_dependencies.c
    gathered: Function[Any] = func.array_agg(edge.depends_on)
    depends_on = (
        select(gathered).where(edge.task_id == _tasks.id).scalar_subquery().label("depends_on")
    )
    columns = [column for column in _tasks if column.name != "created_by"]
    return select(*columns, depends_on)


def _task(record: asyncpg.Record) -> Task:
    fields = dict(record.items())
    fields["depends_on"] = sorted(fields["depends_on"] or [])
    return msgspec.convert(fields, Task)
