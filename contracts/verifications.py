"""Verifications: every byte that committed snapshots need is read, and what is wrong is named."""

import datetime
import enum
from typing import Literal
from uuid import UUID

import msgspec

from contracts.runs import Page
from contracts.wire import Body, Wire

MOST_FINDINGS = 1000
"""Of one snapshot that are kept; they are counted all the same."""


class SnapshotOutcome(enum.StrEnum):
    PENDING = "pending"
    READ = "read"
    """Its manifest was read, not yet all of its packs."""
    INTACT = "intact"
    DAMAGED = "damaged"
    GONE = "gone"
    """It was deleted meanwhile."""


class VerifyWorkspaces(Body, frozen=True, kw_only=True):
    """Exactly one of `project_id`, `session_id` and `all`."""

    project_id: UUID | None = None
    session_id: UUID | None = None
    all: bool = False
    marks: bool = True
    """Mark what is damaged, and take marks back from what is intact; false: only report."""


class Verification(Wire, frozen=True, kw_only=True):
    id: UUID
    project_id: UUID | None
    session_id: UUID | None
    """Both None: of everything."""
    marks: bool
    state: Literal["running", "done"]
    snapshots: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """By outcome."""
    packs: dict[str, int] = msgspec.field(default_factory=dict[str, int])
    """By outcome: `pending`, `intact`, `damaged`; each was read once."""
    findings: int = 0
    bytes_read: int = 0
    created_at: datetime.datetime
    finished_at: datetime.datetime | None = None


class VerificationPage(Page, frozen=True, kw_only=True):
    items: list[Verification]


class VerifiedSnapshot(Wire, frozen=True, kw_only=True):
    id: UUID
    project_id: UUID
    session_id: UUID
    outcome: SnapshotOutcome
    findings: int


class VerifiedSnapshotPage(Page, frozen=True, kw_only=True):
    items: list[VerifiedSnapshot]


class Finding(Wire, frozen=True, kw_only=True):
    id: UUID
    project_id: UUID
    session_id: UUID
    snapshot_id: UUID
    path: str
    """In the workspace; bytes that are no UTF-8 as `\\xNN`. Empty: all of it."""
    object: str
    """The key of the pack, the manifest or the spool."""
    offset: int = 0
    """Of the frame in the object."""
    length: int = 0
    found: str


class FindingPage(Page, frozen=True, kw_only=True):
    items: list[Finding]
