"""The event log's one tagged union: what happened, told once, in order.

An event is stored and sent as its own JSON object tagged by `kind`, inside a `LogEntry` that says
where it stands. A session's log and a project's log are streams of the same union; a run's stream
is its session's, filtered.
"""

import datetime
import enum
from typing import Any, Literal
from uuid import UUID

import msgspec

from contracts.event import Event
from contracts.reasons import Reason
from contracts.security_events import EgressDenied
from contracts.session_events import (
    SessionCreated,
    SessionForked,
    SessionImported,
    SessionRolledBack,
    SessionUpdated,
)
from contracts.task_events import TaskCreated, TaskTransitioned, TaskUpdated
from contracts.tool_events import ToolAccepted, ToolCall, ToolResult, ToolUpdate
from contracts.wire import Wire
from contracts.worker_events import (
    WorkerCreated,
    WorkerFailed,
    WorkerRemoved,
    WorkerStep,
    WorkerStopped,
    WorkerSuperseded,
    WorkspaceDamaged,
    WorkspaceProgress,
    WorkspaceRestored,
    WorkspaceSaved,
    WorkspaceUnsaved,
)


class ResumeLabel(enum.StrEnum):
    NATIVE = "native"
    """The agent restored its own session."""
    REBUILT = "rebuilt"
    """The agent's own session was missing; the transcript was handed over as context."""
    FRESH = "fresh"
    """The agent started without a past."""


# --- run.* ---------------------------------------------------------------------------------


class RunQueued(Event, frozen=True, kw_only=True, tag="run.queued"):
    agent: str
    state: Literal["pending", "queued"] = "queued"
    """`pending` stands behind another run of its session."""
    retry_of: UUID | None = None


class RunClaimed(Event, frozen=True, kw_only=True, tag="run.claimed"):
    worker_id: UUID
    epoch: int


class RunStarted(Event, frozen=True, kw_only=True, tag="run.started"):
    agent: str
    resume: ResumeLabel
    resume_reason: str = ""


class RunWarning(Event, frozen=True, kw_only=True, tag="run.warning"):
    code: str
    detail: str = ""


class RunRetrying(Event, frozen=True, kw_only=True, tag="run.retrying"):
    """The attempt named by the entry is over; its partial output is superseded for every reader."""

    reason: Reason
    next_attempt: int
    failures: int
    delay_seconds: float = 0.0
    detail: str = ""


class RunParked(Event, frozen=True, kw_only=True, tag="run.parked"):
    """Waits for a person without a worker."""

    next_attempt: int
    reason: Reason | None = None


class RunLog(Event, frozen=True, kw_only=True, tag="run.log"):
    level: Literal["debug", "info", "warning", "error"] = "info"
    text: str
    data: dict[str, Any] | None = None


class RunFinished(Event, frozen=True, kw_only=True, tag="run.finished"):
    state: Literal["succeeded", "failed", "blocked", "canceled"]
    reason: Reason
    remedy: str = ""
    detail: str = ""
    snapshot_id: UUID | None = None
    unsaved: bool = False


class RunClosed(Event, frozen=True, kw_only=True, tag="run.closed"):
    """Nothing of this run follows."""

    state: Literal["succeeded", "failed", "blocked", "canceled"]


# --- message.*, thought.* -----------------------------------------------------------------


class MessageUser(Event, frozen=True, kw_only=True, tag="message.user"):
    text: str
    user_id: UUID | None = None


class MessageDelta(Event, frozen=True, kw_only=True, tag="message.delta"):
    message_id: str
    text: str


class MessageStop(Event, frozen=True, kw_only=True, tag="message.stop"):
    """Carries the whole text, so that deltas may expire."""

    message_id: str
    text: str


class ThoughtDelta(Event, frozen=True, kw_only=True, tag="thought.delta"):
    message_id: str
    text: str


# --- todo.*, usage.* ---------------------------------------------------------------------


class TodoEntry(Wire, frozen=True, kw_only=True):
    content: str
    status: Literal["pending", "in_progress", "completed"] = "pending"
    priority: Literal["high", "medium", "low"] = "medium"


class TodoUpdate(Event, frozen=True, kw_only=True, tag="todo.update"):
    """The whole plan as it stands now."""

    entries: list[TodoEntry]


class UsageUpdate(Event, frozen=True, kw_only=True, tag="usage.update"):
    """Tokens. `reported` is what the agent says of itself: shown, never added to `metered`."""

    source: Literal["reported", "metered", "estimated"] = "reported"
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    thought_tokens: int = 0
    context_used: int | None = None
    context_size: int | None = None
    cost_usd: float | None = None


# --- human_loop.* -------------------------------------------------------------------------


class AskOption(Wire, frozen=True, kw_only=True):
    id: str
    name: str = ""
    kind: str = ""
    """Permissions: allow_once, allow_always, reject_once, reject_always."""


class HumanLoopRequested(Event, frozen=True, kw_only=True, tag="human_loop.requested"):
    request_id: UUID
    type: Literal["permission", "question"]
    title: str
    tool: str = ""
    input: Any = None
    input_hash: str = ""
    options: list[AskOption] = msgspec.field(default_factory=list[AskOption])
    form: Any = None
    """A question's JSON schema, as the agent sent it."""
    reattached: bool = False
    """An identical ask of a later attempt met its open request."""


class HumanLoopOverdue(Event, frozen=True, kw_only=True, tag="human_loop.overdue"):
    request_id: UUID


class HumanLoopResolved(Event, frozen=True, kw_only=True, tag="human_loop.resolved"):
    request_id: UUID
    outcome: Literal["answered", "withdrawn"]
    option_id: str | None = None
    option_kind: str | None = None
    text: str | None = None
    content: Any = None
    """What was filled into a question's form."""
    by: UUID | None = None


# --- alert.*, security.* ------------------------------------------------------------------


class AlertRaised(Event, frozen=True, kw_only=True, tag="alert.raised"):
    code: str
    detail: str


class SecurityAudit(Event, frozen=True, kw_only=True, tag="security.audit.recorded"):
    action: str
    actor: UUID | None = None
    target: str = ""


AnyEvent = (
    RunQueued
    | RunClaimed
    | RunStarted
    | RunWarning
    | RunRetrying
    | RunParked
    | RunLog
    | RunFinished
    | RunClosed
    | MessageUser
    | MessageDelta
    | MessageStop
    | ThoughtDelta
    | ToolCall
    | ToolUpdate
    | ToolResult
    | ToolAccepted
    | TodoUpdate
    | UsageUpdate
    | HumanLoopRequested
    | HumanLoopOverdue
    | HumanLoopResolved
    | WorkspaceRestored
    | WorkspaceSaved
    | WorkspaceProgress
    | WorkspaceUnsaved
    | WorkspaceDamaged
    | WorkerCreated
    | WorkerStep
    | WorkerStopped
    | WorkerSuperseded
    | WorkerRemoved
    | WorkerFailed
    | SessionCreated
    | SessionUpdated
    | SessionForked
    | SessionRolledBack
    | SessionImported
    | TaskCreated
    | TaskUpdated
    | TaskTransitioned
    | AlertRaised
    | SecurityAudit
    | EgressDenied
)


def kind_of(event: Event) -> str:
    return str(event.__struct_config__.tag)


class Place(Wire, frozen=True, kw_only=True):
    """Where an event stands in its stream."""

    id: str
    """`<stream tag>.<seq>`: the cursor, and SSE's `id:`."""
    seq: int
    session_id: UUID | None
    run_id: UUID | None
    attempt: int | None
    epoch: int | None
    at: datetime.datetime
    trace_id: str


class LogEntry(Place, frozen=True, kw_only=True):
    """One row of a stream as a client sees it; also the `data:` of one SSE frame."""

    event: AnyEvent


class RawLogEntry(Place, frozen=True, kw_only=True):
    """A `LogEntry` whose event stays encoded: what the log stores is what it sends."""

    event: msgspec.Raw
