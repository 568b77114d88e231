"""Jobs: passes over many workers or runs that somebody asked for, with counts."""

import datetime
import enum
from uuid import UUID

import msgspec

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
    """By outcome: `considered` is their sum."""
    created_at: datetime.datetime
    finished_at: datetime.datetime | None = None
