"""The executor's reports: one durable, ordered spool per worker, posted in batches, at least once.

Every entry has the next `seq` (the worker's `source_seq`, from 1). The control plane applies them
in order and drops what it has: at or below its `last_source_seq` is acknowledged, a gap is
`409 expected_seq`.
"""

import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from contracts.endpoint import Endpoint
from contracts.events import AskOption, ResumeLabel, UsageUpdate
from contracts.reasons import Reason
from contracts.snapshots import SnapshotDraft
from contracts.wire import Wire

MAX_BATCH_ENTRIES = 500
MAX_BATCH_BYTES = 4 * 1024 * 1024


class Entry(Wire, frozen=True, kw_only=True, tag_field="type"):
    """`at` is the executor's clock, for display only."""

    seq: Annotated[int, msgspec.Meta(ge=1)]
    at: datetime.datetime
    trace_id: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{0,32}$")] = ""


class EventReported(Entry, frozen=True, kw_only=True, tag="event"):
    """An event to append as it is; `run_id` is None for what belongs to the worker alone.

    Only kinds in `control_plane.domain.reported_events.REPORTABLE` are taken: a worker cannot
    speak for the control plane.
    """

    run_id: UUID | None = None
    attempt: int | None = None
    event: msgspec.Raw


class RunStartedReported(Entry, frozen=True, kw_only=True, tag="run_started"):
    run_id: UUID
    attempt: int
    resume: ResumeLabel
    resume_reason: str = ""


class Asked(Entry, frozen=True, kw_only=True, tag="asked"):
    """The agent waits for a person. `ask_id`: the executor's name for this ask of this attempt."""

    run_id: UUID
    attempt: int
    ask_id: UUID
    kind: Literal["permission", "question"]
    title: str
    tool: str = ""
    input: Any = None
    input_hash: str
    """SHA-256 of the canonical JSON of tool and input: what a grant binds to."""
    options: list[AskOption] = msgspec.field(default_factory=list[AskOption])
    form: Any = None


class AskWithdrawn(Entry, frozen=True, kw_only=True, tag="ask_withdrawn"):
    run_id: UUID
    attempt: int
    ask_id: UUID


class SnapshotCommitted(Entry, frozen=True, kw_only=True, tag="snapshot"):
    """Compare-and-set on (head, epoch) if it is acknowledged; a checkpoint never moves the head."""

    snapshot: SnapshotDraft
    run_id: UUID | None = None
    attempt: int | None = None


class RunFinishedReported(Entry, frozen=True, kw_only=True, tag="finish"):
    run_id: UUID
    attempt: int
    state: Literal["succeeded", "failed", "blocked", "canceled"]
    reason: Reason
    detail: str = ""
    retryable: bool = False
    """A `failed` that another attempt may mend: requeued while `failures` < `max_failures`."""
    snapshot_id: UUID | None = None
    """A snapshot committed earlier in this spool."""
    unsaved: bool = False
    output: str = ""
    usage: UsageUpdate | None = None


class RunInterrupted(Entry, frozen=True, kw_only=True, tag="interrupted"):
    """The attempt ended without a result (executor restarted, drained): the run is requeued."""

    run_id: UUID
    attempt: int
    reason: Reason
    detail: str = ""


class RunParkedReported(Entry, frozen=True, kw_only=True, tag="parked"):
    """The agent was stopped while a person is waited for; the workspace is saved."""

    run_id: UUID
    attempt: int
    snapshot_id: UUID


class WorkerStoppedReported(Entry, frozen=True, kw_only=True, tag="stopped"):
    """Saved, committed, quiet: the worker may be released."""

    snapshot_id: UUID | None
    """None: nothing was ever written since the head."""


class StopFailed(Entry, frozen=True, kw_only=True, tag="stop_failed"):
    """The save before a stop failed: the worker stays."""

    reason: str


AnyEntry = (
    EventReported
    | RunStartedReported
    | Asked
    | AskWithdrawn
    | SnapshotCommitted
    | RunFinishedReported
    | RunInterrupted
    | RunParkedReported
    | WorkerStoppedReported
    | StopFailed
)


class Report(Wire, frozen=True, kw_only=True):
    epoch: int
    entries: Annotated[list[AnyEntry], msgspec.Meta(max_length=MAX_BATCH_ENTRIES)]


class Refused(Wire, frozen=True, kw_only=True):
    """Acknowledged and not applied: `stale_attempt`, `already_finished`, `head_moved`, …"""

    seq: int
    code: str


class Reported(Wire, frozen=True, kw_only=True):
    acknowledged: int
    """Every entry up to this `seq` is the control plane's now."""
    refused: list[Refused] = msgspec.field(default_factory=list[Refused])


class TakeGrant(Wire, frozen=True, kw_only=True):
    """Asked before an agent is answered: compare-and-set of the answer to `delivered`."""

    epoch: int
    attempt: int
    ask_id: UUID


class GrantTaken(Wire, frozen=True, kw_only=True):
    option_id: str | None
    option_kind: str | None
    text: str | None
    content: Any = None


REPORT = Endpoint(
    "/internal/v1/workers/{worker_id}/callbacks", Report, Reported, idempotent=True, deadline=20.0
)
TAKE_GRANT = Endpoint(
    "/internal/v1/workers/{worker_id}/grants/{request_id}/take",
    TakeGrant,
    GrantTaken,
    idempotent=True,
)
