"""Session workers: their states, their limits, and what a manager is given to run one."""

import enum
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from contracts.egress import EgressPolicy
from contracts.wire import Wire

Cpus = Annotated[float, msgspec.Meta(ge=0.1, le=256)]
MemoryMib = Annotated[int, msgspec.Meta(ge=64, le=4_194_304)]
DiskMib = Annotated[int, msgspec.Meta(ge=16, le=67_108_864)]
Pids = Annotated[int, msgspec.Meta(ge=16, le=1_000_000)]


Tier = Literal["trusted", "untrusted"]
"""`untrusted`: only on hosts whose isolation is known to hold (preflight)."""


class WorkerState(enum.StrEnum):
    CREATING = "creating"
    READY = "ready"
    BUSY = "busy"
    IDLE = "idle"
    STOPPING = "stopping"
    STOPPED = "stopped"
    REMOVED = "removed"
    FAILED = "failed"


class WorkerLimits(Wire, frozen=True, kw_only=True):
    """What one session's container may use; None: the manager's own default."""

    cpus: Cpus | None = None
    memory_mib: MemoryMib | None = None
    disk_mib: DiskMib | None = None
    pids: Pids | None = None


class WorkerGrant(Wire, frozen=True, kw_only=True):
    """What a manager needs to run or adopt a worker. The token goes to the relay, never inside."""

    worker_id: UUID
    session_id: UUID
    project_id: UUID
    epoch: int
    token: str
    limits: WorkerLimits = WorkerLimits()
    egress: EgressPolicy = EgressPolicy()
    egress_version: str = ""
    """Another one for another policy; said again with each heartbeat."""
    image: str = ""
    """Of the app; empty: the manager's own."""
    runtime: str = ""
    """The engine's name of it; empty: the engine's default."""
    tier: Tier = "trusted"


Verdict = Literal["current", "released", "superseded", "remove", "unknown"]
