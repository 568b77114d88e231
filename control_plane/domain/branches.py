"""Where a conversation comes from: stretches of sessions' logs, one behind the other.

A session's log is never cut: a fork reads another session's up to a point, and a rollback makes the
runs that follow read the session's own up to an earlier one. Each is a *branch*: from its place in
the log on, the conversation is what stood there plus what comes now (ADR 0028).
"""

from dataclasses import dataclass
from uuid import UUID

from contracts.snapshots import SnapshotKind


@dataclass(frozen=True, slots=True)
class Stretch:
    """Runs of one session that stand in its line from `first` to `last`."""

    session_id: UUID
    first: int
    last: int
    until: int | None = None
    """Of the last run only what stands in the log up to there; None: all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A snapshot, and the conversation that had led to it."""

    snapshot_id: UUID
    session_id: UUID
    project_id: UUID
    type: SnapshotKind
    parent: UUID | None
    epoch: int
    seq: int
    """In the session's log: which of its branches this is on."""
    line: int
    """The last run's place in the line; 0: there was none."""
    until: int | None
    run_id: UUID | None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a rollback compares: nobody sent a message, and nobody else rolled back."""

    branch: int | None
    line: int | None
