"""Session workers as clients see and set them."""

import datetime
from typing import Literal
from uuid import UUID

import msgspec

from contracts.disks import DiskMeans
from contracts.wire import Body, Wire
from contracts.workers import Cpus, DiskMib, MemoryMib, Pids, WorkerLimits, WorkerState


class SessionWorker(Wire, frozen=True, kw_only=True):
    id: UUID
    session_id: UUID
    project_id: UUID
    epoch: int
    manager_id: UUID
    state: WorkerState
    current: bool
    pinned: bool = False
    """Kept until it has saved."""
    reason: str = ""
    image: str = ""
    """The id of what its container was made of; empty until it is ready, and of a process."""
    disk: DiskMeans | None = None
    """What holds its disk limit; `watch` alone is not the kernel's doing. null: it has no limit, or
    did not start yet."""
    created_at: datetime.datetime
    lease_until: datetime.datetime
    ended_at: datetime.datetime | None = None


class SessionWorkerPage(Wire, frozen=True, kw_only=True):
    items: list[SessionWorker]
    next_cursor: str | None = None


class RemoveSessionWorker(Body, frozen=True, kw_only=True):
    force: bool = False
    """Also when it is not saved; a live run is tried again in a new worker."""


class RemovalRequested(Wire, frozen=True, kw_only=True):
    """The manager is told; the worker leaves the list when its volume is gone."""

    worker_id: UUID


class PatchSessionWorker(Body, frozen=True, kw_only=True):
    """Left out: unchanged. null: back to the app's, then the installation's."""

    cpus: Cpus | msgspec.UnsetType | None = msgspec.UNSET
    memory_mib: MemoryMib | msgspec.UnsetType | None = msgspec.UNSET
    disk_mib: DiskMib | msgspec.UnsetType | None = msgspec.UNSET
    pids: Pids | msgspec.UnsetType | None = msgspec.UNSET
    keep_warm: bool | msgspec.UnsetType = msgspec.UNSET
    """Never stopped for being idle; a drain still stops it."""


class SessionWorkerSettings(Wire, frozen=True, kw_only=True):
    session_id: UUID
    limits: WorkerLimits
    """What its next container gets: the session's, else the app's, else the installation's."""
    own: WorkerLimits
    """What was set for this session."""
    keep_warm: bool
    applies: Literal["now", "next_worker"]
    """`next_worker`: a container is there, made with former limits."""
