"""Carries what happens in sessions to their project's stream and tasks.

Executors' reports never lock the project's stream, one row that all share: they leave rows in the
outbox. A projector takes a project's rows under the lock of that stream, passing over projects that
somebody else holds, appends, applies and deletes in one transaction: rows of a project are carried
once, in the order in which they were written, however many projectors there are.
"""

from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from chassis.failpoints import failpoint
from chassis.logs import get_logger
from contracts.events import AnyEvent, kind_of
from control_plane.domain import task_changes
from control_plane.domain.session_state import TaskChange
from control_plane.domain.task_changes import TaskRow
from control_plane.store import events, outbox
from control_plane.store.database import Connection, Database
from control_plane.store.events import NewProjectEvent
from control_plane.store.outbox import OutboxRow

PROJECTS_AT_ONCE = 20
ROWS_AT_ONCE = 500

_log = get_logger()


class _Tagged(msgspec.Struct, frozen=True):
    """Of an event no more than its kind: the rest is passed on as it is."""

    kind: str


@dataclass(slots=True)
class _Pass:
    """One transaction's work."""

    last_seqs: dict[UUID, int]
    """By locked project."""
    appended: list[NewProjectEvent] = field(default_factory=list[NewProjectEvent])
    changed: dict[UUID, TaskRow] = field(default_factory=dict[UUID, TaskRow])

    def append(self, row: OutboxRow, kind: str, payload: str) -> None:
        self.last_seqs[row.project_id] += 1
        self.appended.append(
            NewProjectEvent(
                project_id=row.project_id,
                seq=self.last_seqs[row.project_id],
                session_id=row.session_id,
                run_id=row.run_id,
                attempt=row.attempt,
                kind=kind,
                payload=payload,
                trace_id=row.trace_id,
                at=row.at,
            )
        )


@dataclass(frozen=True, slots=True)
class _Tasks:
    """What task rows of a pass are judged by."""

    changes: dict[int, TaskChange]
    """By outbox row."""
    rows: dict[UUID, TaskRow]
    ranks: dict[UUID, int]

    def newer(self, run_id: UUID, than: UUID | None) -> bool:
        return than is None or self.ranks.get(run_id, -1) > self.ranks.get(than, -1)


class Projector:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def run_once(self) -> int:
        """One batch; answers how many rows were carried. 0: none, or others hold their projects."""
        async with self._database.unit() as unit:
            last_seqs = await outbox.lock_projects(unit.connection, PROJECTS_AT_ONCE)
            if not last_seqs:
                return 0
            await failpoint("projector.locked")
            rows = await outbox.take(unit.connection, last_seqs, ROWS_AT_ONCE)
            done = _Pass(last_seqs)
            tasks = await _tasks(unit.connection, rows)
            for row in rows:
                _carry(done, row, tasks)
            await _write(unit.connection, done)
            await outbox.delete(unit.connection, [row.id for row in rows])
            unit.wakes.streams.update(event.project_id for event in done.appended)
            await failpoint("projector.written")
        return len(rows)

    async def anything_left(self) -> bool:
        async with self._database.reading() as connection:
            return await outbox.anything_left(connection)


async def _tasks(connection: Connection, rows: list[OutboxRow]) -> _Tasks:
    changes = {row.id: change for row in rows if (change := _change(row)) is not None}
    if not changes:
        return _Tasks({}, {}, {})
    task_ids = {change.task_id for change in changes.values()}
    found = await outbox.lock_tasks(connection, task_ids)
    run_ids = {change.run_id for change in changes.values()}
    run_ids |= {task.last_run_id for task in found.values() if task.last_run_id is not None}
    return _Tasks(changes, found, await outbox.run_ranks(connection, run_ids))


def _change(row: OutboxRow) -> TaskChange | None:
    if row.type != "task":
        return None
    try:
        return msgspec.json.decode(row.payload, type=TaskChange)
    except msgspec.MsgspecError:
        _log.error("outbox_row_unreadable", row=row.id, type=row.type)
        return None


def _carry(done: _Pass, row: OutboxRow, tasks: _Tasks) -> None:
    if row.type == "event":
        try:
            kind = msgspec.json.decode(row.payload, type=_Tagged).kind
        except msgspec.MsgspecError:
            _log.error("outbox_row_unreadable", row=row.id, type=row.type)
            return
        done.append(row, kind, row.payload)
        return
    change = tasks.changes.get(row.id)
    task = tasks.rows.get(change.task_id) if change is not None else None
    if change is None or task is None:
        return
    newer = tasks.newer(change.run_id, task.last_run_id)
    event: AnyEvent | None = task_changes.apply(task, change, newer=newer)
    if event is not None:
        done.changed[task.id] = task
        done.append(row, kind_of(event), msgspec.json.encode(event).decode())


async def _write(connection: Connection, done: _Pass) -> None:
    if done.changed:
        await outbox.save_tasks(connection, list(done.changed.values()))
    if done.appended:
        await events.append_to_project(connection, done.appended)
        await outbox.advance(connection, done.last_seqs)
