"""The outbox: what sessions' transactions tell their project, taken under the project's lock."""

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from contracts.tasks import TaskState
from control_plane.domain.task_changes import TaskRow
from control_plane.store.database import Connection
from sql.named import load as load_queries

QUERIES = load_queries("outbox")


@dataclass(frozen=True, slots=True)
class OutboxRow:
    id: int
    project_id: UUID
    session_id: UUID | None
    run_id: UUID | None
    attempt: int | None
    type: str
    """`event` or `task`."""
    payload: str
    trace_id: str
    at: datetime.datetime


async def lock_projects(connection: Connection, limit: int) -> dict[UUID, int]:
    """Locks project streams that have rows and are free; gives each one's `last_seq`."""
    found = await connection.fetch(QUERIES["lock_projects"], limit)
    return {record["id"]: record["last_seq"] for record in found}


async def take(connection: Connection, projects: Collection[UUID], limit: int) -> list[OutboxRow]:
    """The oldest rows of locked projects, in the order in which they were written."""
    found = await connection.fetch(QUERIES["take"], list(projects), limit)
    return [OutboxRow(*record) for record in found]


async def delete(connection: Connection, ids: Sequence[int]) -> None:
    await connection.execute(QUERIES["delete"], ids)


async def anything_left(connection: Connection) -> bool:
    return bool(await connection.fetchval(QUERIES["left"]))


async def lock_tasks(connection: Connection, ids: Collection[UUID]) -> dict[UUID, TaskRow]:
    """After their projects' streams."""
    found = await connection.fetch(QUERIES["tasks"], list(ids))
    return {
        record["id"]: TaskRow(
            id=record["id"],
            state=TaskState(record["state"]),
            version=record["version"],
            last_run_id=record["last_run_id"],
            last_reason=record["last_reason"],
            summary=record["summary"],
        )
        for record in found
    }


async def run_ranks(connection: Connection, run_ids: Collection[UUID]) -> dict[UUID, int]:
    """A higher rank is a younger run; a run that is gone has none."""
    found = await connection.fetch(QUERIES["run_order"], list(run_ids))
    return {record["id"]: rank for rank, record in enumerate(found)}


async def save_tasks(connection: Connection, tasks: Sequence[TaskRow]) -> None:
    columns = [
        [task.id for task in tasks],
        [task.state.value for task in tasks],
        [task.version for task in tasks],
        [task.last_run_id for task in tasks],
        [task.last_reason for task in tasks],
        [task.summary for task in tasks],
    ]
    await connection.execute(QUERIES["update_tasks"], *columns)


async def advance(connection: Connection, last_seqs: dict[UUID, int]) -> None:
    await connection.execute(
        QUERIES["advance_projects"], list(last_seqs.keys()), list(last_seqs.values())
    )
