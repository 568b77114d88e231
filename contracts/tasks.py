"""Tasks: what is to be done, over any number of runs."""

import datetime
import enum
from typing import Annotated, Any
from uuid import UUID

import msgspec

from contracts.runs import Page, RunOptions
from contracts.wire import Body, Name, PromptText, Wire


class TaskState(enum.StrEnum):
    OPEN = "open"
    RUNNING = "running"
    WAITING = "waiting"
    """Its run waits for a person."""
    REVIEW = "review"
    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"
    CANCELED = "canceled"


class CreateTask(Body, frozen=True, kw_only=True):
    title: Name
    description: Annotated[str, msgspec.Meta(max_length=400_000)] = ""
    project_id: UUID | None = None
    session_id: UUID | None = None
    agent: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None
    app_id: UUID | None = None
    depends_on: Annotated[list[UUID], msgspec.Meta(max_length=100)] = msgspec.field(
        default_factory=list[UUID]
    )


class PatchTask(Body, frozen=True, kw_only=True):
    expected_version: Annotated[int, msgspec.Meta(ge=1)]
    title: Name | None = None
    description: Annotated[str, msgspec.Meta(max_length=400_000)] | None = None
    state: TaskState | None = None
    depends_on: Annotated[list[UUID], msgspec.Meta(max_length=100)] | None = None


class RunTask(Body, frozen=True, kw_only=True):
    text: PromptText | None = None
    """Left out: the task's title and description are the prompt."""
    options: RunOptions = RunOptions()


class Task(Wire, frozen=True, kw_only=True):
    id: UUID
    project_id: UUID
    title: str
    description: str
    state: TaskState
    version: int
    session_id: UUID | None = None
    agent: str | None = None
    app_id: UUID | None = None
    depends_on: list[UUID] = msgspec.field(default_factory=list[UUID])
    last_run_id: UUID | None = None
    last_reason: str | None = None
    summary: str = ""
    """What its agent said last of the work: that it is done, or why it is blocked."""
    created_at: datetime.datetime
    updated_at: datetime.datetime


class TaskPage(Page, frozen=True, kw_only=True):
    items: list[Task]


class SystemQueue(Wire, frozen=True, kw_only=True):
    """Counts of what is not terminal, installation-wide for services, per project for people."""

    states: dict[str, int]
    oldest_queued_seconds: float | None
    outbox: int


class SystemManager(Wire, frozen=True, kw_only=True):
    id: UUID
    name: str
    backend: str
    incarnation: int
    max_workers: int
    workers: int
    draining: bool
    agents: dict[str, Any]
    last_seen_seconds: float
    url: str = ""
    """Where gateways reach it, for workspace bytes; empty: they cannot."""
    isolation: dict[str, bool] = msgspec.field(default_factory=dict[str, bool])
    """What its backend really does, by capability."""


class SystemWorkers(Wire, frozen=True, kw_only=True):
    managers: list[SystemManager]
    workers: dict[str, int]


class Version(Wire, frozen=True, kw_only=True):
    service: str
    version: str
    api: str = "v1"
