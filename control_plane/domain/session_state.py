"""One session under its stream's lock: loaded, changed by pure functions, saved.

Authoritative is the database; this is its content for as long as the lock is held. Every change to
a session's line or log goes through it: claim, report, cancel, reply, reclaim. Transitions that
belong together happen on one `SessionState`; the store writes what differs from what it loaded.

Only the *head* of the line and its worker are loaded: what is pending behind it is reached by
promotion, what is closed never changes.
"""

import datetime
import enum
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from contracts.checkouts import NO_SOURCE, WorkspaceSource
from contracts.commands import AnyCommand
from contracts.events import AnyEvent, TodoEntry, UsageUpdate
from contracts.human_loop import RequestState
from contracts.reasons import Reason
from contracts.runs import RunState
from contracts.sessions import SessionState as SessionLife
from contracts.snapshots import SnapshotDraft
from contracts.tasks import TaskState
from contracts.workers import WorkerLimits, WorkerState
from control_plane.domain import limits


@dataclass(slots=True)
class RunRow:
    """`runs`, without what only lists show."""

    id: UUID
    project_id: UUID
    session_id: UUID
    task_id: UUID | None
    agent: str
    state: RunState
    line_no: int
    attempt: int
    failures: int
    losses: int
    max_failures: int
    claim_id: UUID | None
    worker_id: UUID | None
    cancel_requested: bool
    started: bool
    available: bool
    """`available_at` has come."""
    delay: float | None = None
    """To write: seconds from now until it may be claimed."""
    cancel_in: float | None = None
    """To write: seconds from now to `cancel_deadline`."""
    user_id: UUID | None = None
    """Whose limits it counts for."""


@dataclass(slots=True)
class RunEnd:
    """What a run's end adds to its payload."""

    reason: Reason
    detail: str = ""
    output: str | None = None
    snapshot_id: UUID | None = None
    unsaved: bool = False
    summary: str | None = None
    """For its task: what the agent said of the work last."""
    asks: bool = False
    """For its task: a question of this run's is open, and what follows waits for its answer."""


@dataclass(slots=True)
class WorkerRow:
    """The session's current worker: neither released nor superseded."""

    id: UUID
    project_id: UUID
    session_id: UUID
    epoch: int
    manager_id: UUID
    state: WorkerState
    last_source_seq: int
    pinned: bool
    stopping: bool
    lease_expired: bool
    token_hash: str = ""
    released: bool = False
    superseded: bool = False
    remove_requested: bool = False
    reason: str = ""
    steps_told: str = ""
    """Of which start the steps stand in the log; a repetition tells them no second time."""
    unsaved: bool = False
    """A run wrote, or may have, since the last snapshot of this worker."""
    saved: bool = False
    """To write: a snapshot came in; what is unsaved is so since then."""
    limits: WorkerLimits = limits.NONE
    """To write; for a worker made now."""
    lease_in: float | None = None
    """To write: seconds from now; for a worker made now."""
    user_id: UUID | None = None
    """To write: whose limits it counts for; for a worker made now."""


class AnswerTo(enum.StrEnum):
    """Whom a request's answer goes to. Only the first holds its run up."""

    RUN = "run"
    """The attempt that waits for it: its executor takes it."""
    TOOL = "tool"
    """A call of `ask_user` that waits for it."""
    MESSAGE = "message"
    """The session: it begins the next turn."""


@dataclass(slots=True)
class RequestRow:
    """A human-loop request: of the head run, or a question that outlived its run."""

    id: UUID
    project_id: UUID
    session_id: UUID
    run_id: UUID
    attempt: int
    ask_id: UUID
    type: str
    state: RequestState
    title: str
    tool: str
    input: Any
    input_hash: str
    options: Any
    form: Any
    option_id: str | None = None
    option_kind: str | None = None
    text: str | None = None
    content: Any = None
    decided_by: UUID | None = None
    delivered_epoch: int | None = None
    delivered_attempt: int | None = None
    answer_to: AnswerTo = AnswerTo.RUN


@dataclass(slots=True)
class SessionRow:
    id: UUID
    project_id: UUID
    agent: str
    model: str | None
    mode: str | None
    provider_options: dict[str, Any]
    life: SessionLife
    epoch: int
    head_snapshot_id: UUID | None
    has_history: bool
    """A run of this session has started before."""
    keep_warm: bool = False
    """Its worker is not stopped for being idle."""
    workspace: WorkspaceSource = NO_SOURCE
    """What its workspace begins with."""


@dataclass(slots=True)
class NewEvent:
    event: AnyEvent | bytes
    """Bytes: an event as the executor encoded it, checked before."""
    kind: str
    run_id: UUID | None
    attempt: int | None
    epoch: int | None
    trace_id: str
    at: datetime.datetime | None = None
    project: bool = False
    """Also told on the project's stream, by the outbox."""
    seq: int = 0
    """Set when it is appended."""


@dataclass(slots=True)
class NewSnapshot:
    draft: SnapshotDraft
    run_id: UUID | None
    attempt: int | None
    epoch: int
    source_seq: int
    told: NewEvent
    """`workspace.saved`: where it stands in the log."""


@dataclass(slots=True)
class TaskChange:
    """For the projector: what a run did to its task."""

    task_id: UUID
    run_id: UUID
    run_state: RunState
    reason: Reason | None = None
    to: TaskState | None = None
    """Where another state is meant than the run's own leads to."""
    summary: str | None = None
    cause: str = ""


@dataclass(slots=True)
class FollowUp:
    """A run that begins with the answer to what another one asked, and goes on as that one did."""

    run: RunRow
    asked_by: UUID
    """The run whose priority and options it takes over."""
    prompt: str
    by: UUID | None
    traceparent: str


@dataclass(slots=True)
class SessionState:
    session: SessionRow
    last_seq: int
    head: RunRow | None
    worker: WorkerRow | None
    requests: list[RequestRow]
    trace_id: str = ""

    new_runs: list[RunRow] = field(default_factory=list[RunRow])
    follow_ups: list[FollowUp] = field(default_factory=list[FollowUp])
    closed: list[RunRow] = field(default_factory=list[RunRow])
    """Runs that ended here: the former head, or one that was canceled while pending."""
    ends: dict[UUID, RunEnd] = field(default_factory=dict[UUID, RunEnd])
    resumes: dict[UUID, str] = field(default_factory=dict[UUID, str])
    former_worker: WorkerRow | None = None
    """The worker that was current when loaded, if it no longer is."""
    events: list[NewEvent] = field(default_factory=list[NewEvent])
    commands: list[tuple[UUID, AnyCommand]] = field(default_factory=list[tuple[UUID, AnyCommand]])
    snapshots: list[NewSnapshot] = field(default_factory=list[NewSnapshot])
    todos: tuple[UUID, NewEvent, list[TodoEntry]] | None = None
    usage: list[tuple[UUID, int, UsageUpdate]] = field(
        default_factory=list[tuple[UUID, int, UsageUpdate]]
    )
    tasks: list[TaskChange] = field(default_factory=list[TaskChange])

    @property
    def id(self) -> UUID:
        return self.session.id

    def tell(
        self,
        event: AnyEvent,
        *,
        run: RunRow | None = None,
        project: bool = False,
        trace_id: str = "",
    ) -> NewEvent:
        """Appends an event of ours to the session's log."""
        told = NewEvent(
            event=event,
            kind=str(event.__struct_config__.tag),
            run_id=run.id if run else None,
            attempt=run.attempt if run else None,
            epoch=self.worker.epoch if self.worker else None,
            trace_id=trace_id or self.trace_id,
            project=project,
        )
        self.events.append(told)
        return told

    def command(self, command: AnyCommand) -> None:
        """Adds a command for the current worker."""
        if self.worker is not None:
            self.commands.append((self.worker.id, command))
