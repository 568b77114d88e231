"""A task's states and the one table of their legal transitions. Pure."""

from chassis.errors import Stale
from contracts.errors import Code
from contracts.tasks import TaskState

LEGAL: dict[TaskState, frozenset[TaskState]] = {
    TaskState.OPEN: frozenset(
        {
            TaskState.RUNNING,
            TaskState.WAITING,
            TaskState.REVIEW,
            TaskState.DONE,
            TaskState.FAILED,
            TaskState.BLOCKED,
            TaskState.CANCELED,
        }
    ),
    TaskState.RUNNING: frozenset(
        {
            TaskState.OPEN,
            TaskState.WAITING,
            TaskState.REVIEW,
            TaskState.DONE,
            TaskState.FAILED,
            TaskState.BLOCKED,
            TaskState.CANCELED,
        }
    ),
    TaskState.WAITING: frozenset(
        {
            TaskState.OPEN,
            TaskState.RUNNING,
            TaskState.REVIEW,
            TaskState.DONE,
            TaskState.FAILED,
            TaskState.BLOCKED,
            TaskState.CANCELED,
        }
    ),
    TaskState.REVIEW: frozenset(
        {TaskState.OPEN, TaskState.RUNNING, TaskState.DONE, TaskState.FAILED, TaskState.CANCELED}
    ),
    TaskState.DONE: frozenset({TaskState.OPEN, TaskState.RUNNING, TaskState.REVIEW}),
    TaskState.FAILED: frozenset(
        {TaskState.OPEN, TaskState.RUNNING, TaskState.DONE, TaskState.CANCELED}
    ),
    TaskState.BLOCKED: frozenset(
        {TaskState.OPEN, TaskState.RUNNING, TaskState.DONE, TaskState.CANCELED}
    ),
    TaskState.CANCELED: frozenset({TaskState.OPEN, TaskState.RUNNING}),
}
"""A run that ends after its task was settled by hand finds its transition illegal: it stays."""

BY_RUNS_ONLY = frozenset({TaskState.RUNNING, TaskState.WAITING})
"""Nobody sets or unsets these by hand: a task is running because a run of it is."""


def require_by_hand(old: TaskState, new: TaskState) -> None:
    """Raises Stale `illegal_transition` that names what a person may set now."""
    legal = LEGAL[old] - BY_RUNS_ONLY
    if old in BY_RUNS_ONLY:
        legal -= {TaskState.OPEN}  # that is said by canceling the run
    _require(old, new, legal)


def require_run(old: TaskState) -> None:
    """Raises Stale `illegal_transition` where a run cannot begin."""
    _require(old, TaskState.RUNNING, LEGAL[old])


def _require(old: TaskState, new: TaskState, legal: frozenset[TaskState]) -> None:
    if new in legal:
        return
    names = sorted(state.value for state in legal)
    raise Stale(
        Code.ILLEGAL_TRANSITION,
        f"the task is {old.value}: it may become {', '.join(names)}, not {new.value}",
        state=old.value,
        legal=names,
    )
