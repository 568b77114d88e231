"""Runs as clients see them: requests, answers, states."""

import datetime
import enum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from contracts.checkouts import AskedWorkspace
from contracts.reasons import Reason
from contracts.wire import Body, PromptText, Wire


class RunState(enum.StrEnum):
    PENDING = "pending"
    """Behind another run of its session."""
    QUEUED = "queued"
    CLAIMED = "claimed"
    RUNNING = "running"
    WAITING = "waiting"
    """For a person; *parked* when it has no worker."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    BLOCKED = "blocked"
    """Cannot proceed without somebody; `reason` says what to do, `retry` makes a new run."""
    CANCELED = "canceled"


TERMINAL = frozenset({RunState.SUCCEEDED, RunState.FAILED, RunState.BLOCKED, RunState.CANCELED})
LIVE = frozenset({RunState.CLAIMED, RunState.RUNNING, RunState.WAITING})


DurationSeconds = Annotated[int, msgspec.Meta(ge=1, le=7 * 86400)]
SilenceSeconds = Annotated[int, msgspec.Meta(ge=1, le=86400)]
MaxFailures = Annotated[int, msgspec.Meta(ge=1, le=20)]


class RunLimits(Wire, frozen=True, kw_only=True):
    """As they are kept and handed on: what a newer service adds is ignored."""

    max_duration_seconds: DurationSeconds = 3600
    silence_seconds: SilenceSeconds = 600
    """The watchdog: no update from the agent for so long ends the attempt."""
    max_failures: MaxFailures = 3


class AskedLimits(Body, frozen=True, kw_only=True):
    """`RunLimits` as a person asks for them."""

    max_duration_seconds: DurationSeconds = 3600
    silence_seconds: SilenceSeconds = 600
    max_failures: MaxFailures = 3


class Need(enum.StrEnum):
    """What a run may ask of its agent: only what the agent itself says at its start, or what its
    profile can do. Whether it plans or shows diffs, no agent says.
    """

    RESUME = "resume"
    """It restores its own session."""
    PERMISSIONS = "permissions"
    """It has a mode in which it asks before it acts."""
    MODES = "modes"
    """It can be set to one of several modes."""
    IMAGES = "images"
    """It reads images in a message."""
    MCP = "mcp"
    """It takes tools over HTTP: the platform's own, and a project's."""


RunNeed = Annotated[
    str,
    msgspec.Meta(max_length=100, extra_json_schema={"enum": [need.value for need in Need]}),
]
"""A `Need`; another name is refused with the list of them."""


class RunOptions(Body, frozen=True, kw_only=True):
    """How to run a message; what is left out comes from the session, then from its app."""

    model: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    mode: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    needs: Annotated[list[RunNeed], msgspec.Meta(max_length=20)] = msgspec.field(
        default_factory=list[str]
    )
    """Capabilities that the agent must have, or the run is `blocked: capability_missing`."""
    priority: Annotated[int, msgspec.Meta(ge=0, le=9)] = 5
    """0 goes first."""
    limits: AskedLimits | None = None
    provider_options: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


class SendMessage(Body, frozen=True, kw_only=True):
    text: PromptText
    options: RunOptions = RunOptions()
    task_id: UUID | None = None


class CreateRun(Body, frozen=True, kw_only=True):
    """A message and, where `session_id` is left out, a new session for it."""

    text: PromptText
    session_id: UUID | None = None
    project_id: UUID | None = None
    agent: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    app_id: UUID | None = None
    title: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    options: RunOptions = RunOptions()
    task_id: UUID | None = None
    workspace: AskedWorkspace | None = None
    """What the new session begins with; not where `session_id` is given."""


class Run(Wire, frozen=True, kw_only=True):
    id: UUID
    session_id: UUID
    project_id: UUID
    task_id: UUID | None = None
    agent: str
    model: str | None = None
    state: RunState
    attempt: int
    failures: int
    reason: Reason | None = None
    detail: str = ""
    remedy: str = ""
    next_retry_at: datetime.datetime | None = None
    place: int | None = None
    """How many runs of its session stand before it; 0 is the head."""
    waits_for_limit: Literal["project", "user"] | None = None
    """Queued, and whose limit of workers it waits for; told of one run, not in lists."""
    parked: bool = False
    cancel_requested: bool = False
    unsaved: bool = False
    snapshot_id: UUID | None = None
    resume: str | None = None
    retry_of: UUID | None = None
    created_at: datetime.datetime
    started_at: datetime.datetime | None = None
    finished_at: datetime.datetime | None = None


class RunOutput(Wire, frozen=True, kw_only=True):
    run_id: UUID
    state: RunState
    text: str
    """The agent's last message, whole."""


class Page(Wire, frozen=True, kw_only=True):
    """What every list answers beside its `items`."""

    next_cursor: str | None = None


class RunPage(Page, frozen=True, kw_only=True):
    items: list[Run]
