"""Jobs: passes over many workers or runs that somebody asked for, with counts."""

import datetime
import enum
from uuid import UUID

import msgspec

from contracts.runs import Page
from contracts.wire import Wire


class JobKind(enum.StrEnum):
    CLEANUP_IDLE = "cleanup_idle"
    CLEANUP_STOPPED = "cleanup_stopped"
    RECONCILE_RUNS = "reconcile_runs"
    RECONCILE_SYNC = "reconcile_sync"


class Job(Wire, frozen=True, kw_only=True):
    id: UUID
    project_id: UUID
    kind: JobKind
    state: str
    """`running`, or `done`: each of what it took up has ended, or its time is over."""
    counts: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """By outcome: `considered` is their sum. Final ones: `stopped`, `busy`, `kept_warm`, `pinned`;
    `removed`, `kept_unsaved`; `healthy`, `reclaimed`, `requeued`, `canceled`, `repaired`; `saved`;
    `deferred` (the control plane was away: a lease is waited out); `gone` (ended meanwhile),
    `failed`, `timed_out`. On their way: `pending`, `stopping`,
    `removing`, `syncing`."""
    created_at: datetime.datetime
    finished_at: datetime.datetime | None = None


class JobPage(Page, frozen=True, kw_only=True):
    items: list[Job]
