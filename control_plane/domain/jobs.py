"""What a job does to one member, as far as rows decide. Pure."""

from dataclasses import dataclass
from uuid import UUID

from contracts.jobs import JobKind

ON_THEIR_WAY = frozenset({"pending", "stopping", "removing", "syncing"})
"""Outcomes that another one follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    id: int
    job_id: UUID
    kind: JobKind
    session_id: UUID
    worker_id: UUID | None
    """None where a session's line is looked at, not its worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedWorker:
    id: UUID
    manager_id: UUID
    released: bool
    superseded: bool
    pinned: bool
    remove_requested: bool
    removed: bool


def removal(worker: EndedWorker) -> str:
    """Only what was released is saved: its executor named the committed snapshot that covers it."""
    if worker.removed:
        return "removed"
    if not worker.released or worker.superseded or worker.pinned:
        return "kept_unsaved"
    return "removing"
