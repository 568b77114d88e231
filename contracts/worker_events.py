"""`workspace.*` and `worker.*`: a session's files, and the worker that has them."""

from typing import Literal
from uuid import UUID

import msgspec

from contracts.event import Event

ExecutorStep = Literal["restore", "link", "validate", "ready", "clone", "quiesce", "save", "stop"]


class WorkspaceRestored(Event, frozen=True, kw_only=True, tag="workspace.restored"):
    snapshot_id: UUID | None
    files: int = 0
    bytes: int = 0
    duration_ms: int = 0
    passed_over: list[UUID] = msgspec.field(default_factory=list[UUID])
    """Damaged snapshots that would have come first."""


class WorkspaceSaved(Event, frozen=True, kw_only=True, tag="workspace.saved"):
    snapshot_id: UUID
    type: Literal["acknowledged", "checkpoint", "side"]
    files: int
    bytes: int
    new_bytes: int = 0
    """Bytes that were uploaded for it."""


class WorkspaceProgress(Event, frozen=True, kw_only=True, tag="workspace.progress"):
    """Of a save or a restore that takes longer than a second, at most once in a second."""

    phase: Literal["save", "restore"]
    files: int
    bytes: int
    """Of their contents, read or written so far."""
    total_files: int | None = None
    """Known of a restore."""
    total_bytes: int | None = None
    bytes_per_second: int = 0
    eta_seconds: float | None = None


class WorkspaceDamaged(Event, frozen=True, kw_only=True, tag="workspace.damaged"):
    """A verification found that a snapshot cannot be restored whole."""

    snapshot_id: UUID
    head: bool
    """It is the session's present state; restores prefer the nearest one before it."""
    findings: int
    detail: str
    """The first of them."""


class WorkspaceUnsaved(Event, frozen=True, kw_only=True, tag="workspace.unsaved"):
    detail: str


class WorkerCreated(Event, frozen=True, kw_only=True, tag="worker.created"):
    worker_id: UUID
    epoch: int
    manager_id: UUID


class WorkerStep(Event, frozen=True, kw_only=True, tag="worker.step"):
    worker_id: UUID
    step: Literal["create", "relay", "start", "boot"] | ExecutorStep
    outcome: Literal["done", "failed"] = "done"
    duration_ms: int = 0
    reason: str = ""


class WorkerStopped(Event, frozen=True, kw_only=True, tag="worker.stopped"):
    worker_id: UUID
    snapshot_id: UUID | None = None


class WorkerSuperseded(Event, frozen=True, kw_only=True, tag="worker.superseded"):
    worker_id: UUID
    epoch: int
    reason: str


class WorkerRemoved(Event, frozen=True, kw_only=True, tag="worker.removed"):
    worker_id: UUID
    forced: bool = False


class WorkerFailed(Event, frozen=True, kw_only=True, tag="worker.failed"):
    worker_id: UUID
    reason: str
    detail: str = ""
