"""`task.*`, told on their project's stream."""

from uuid import UUID

from contracts.event import Event


class TaskCreated(Event, frozen=True, kw_only=True, tag="task.created"):
    task_id: UUID
    title: str
    state: str


class TaskUpdated(Event, frozen=True, kw_only=True, tag="task.updated"):
    task_id: UUID
    version: int
    fields: list[str]


class TaskTransitioned(Event, frozen=True, kw_only=True, tag="task.transitioned"):
    task_id: UUID
    old: str
    new: str
    version: int
    cause: str = ""
