"""What a run's state does to its task. Pure."""

from dataclasses import dataclass
from uuid import UUID

from contracts.runs import RunState
from contracts.task_events import TaskTransitioned, TaskUpdated
from contracts.tasks import TaskState
from control_plane.domain.session_state import TaskChange
from control_plane.domain.tasks import BY_RUNS_ONLY, LEGAL

STATE_OF: dict[RunState, TaskState] = {
    RunState.PENDING: TaskState.RUNNING,
    RunState.QUEUED: TaskState.RUNNING,
    RunState.CLAIMED: TaskState.RUNNING,
    RunState.RUNNING: TaskState.RUNNING,
    RunState.WAITING: TaskState.WAITING,
    RunState.SUCCEEDED: TaskState.REVIEW,
    RunState.FAILED: TaskState.FAILED,
    RunState.BLOCKED: TaskState.BLOCKED,
    RunState.CANCELED: TaskState.OPEN,
}
"""A run that went well is for somebody to look at; one that was canceled leaves the task to do."""

BY_TOOLS = frozenset({TaskState.REVIEW, TaskState.BLOCKED, TaskState.WAITING})
"""Where a tool of the platform may move a task that nobody has settled, from any state."""

MOVED_ON = frozenset({TaskState.DONE, TaskState.CANCELED})
"""Somebody has decided; no run changes that."""


@dataclass(slots=True)
class TaskRow:
    """What a run can change of a task."""

    id: UUID
    state: TaskState
    version: int
    last_run_id: UUID | None
    last_reason: str | None
    summary: str = ""


def is_stale(task: TaskRow, change: TaskChange, *, newer: bool) -> bool:
    """Somebody has decided, or a later run speaks for it now."""
    return task.state in MOVED_ON or (task.last_run_id not in (None, change.run_id) and not newer)


def apply(
    task: TaskRow, change: TaskChange, *, newer: bool
) -> TaskTransitioned | TaskUpdated | None:
    """None: nothing to tell. `newer`: the run was made after the task's last one."""
    if is_stale(task, change, newer=newer):
        return None
    old, new = task.state, change.to or STATE_OF[change.run_state]
    if old is not new and not _legal(old, new, by_tool=change.to in BY_TOOLS):
        return None
    reason = None if change.reason is None else change.reason.value
    summary = _summary(task, change)
    fields = [
        name
        for name, before, now in (
            ("last_run_id", task.last_run_id, change.run_id),
            ("last_reason", task.last_reason, reason),
            ("summary", task.summary, summary),
        )
        if before != now
    ]
    if old is new and not fields:
        return None
    task.state, task.last_run_id, task.last_reason = new, change.run_id, reason
    task.summary = summary
    task.version += 1
    if old is new:
        return TaskUpdated(task_id=task.id, version=task.version, fields=fields)
    return TaskTransitioned(
        task_id=task.id,
        old=old.value,
        new=new.value,
        version=task.version,
        cause=change.cause or f"run.{change.run_state.value}",
    )


def _legal(old: TaskState, new: TaskState, *, by_tool: bool) -> bool:
    """Besides what people may do, a run gives back what it took."""
    return new in LEGAL[old] or by_tool or (new is TaskState.OPEN and old in BY_RUNS_ONLY)


def _summary(task: TaskRow, change: TaskChange) -> str:
    """Of its last run: a new one begins without."""
    if change.summary is not None:
        return change.summary
    return task.summary if task.last_run_id == change.run_id else ""
