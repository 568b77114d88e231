"""What administrators see and set of the installation: its managers, and who administers."""

import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from contracts.containers import ContainerOffer
from contracts.managers import AgentOffer
from contracts.preflight import PreflightFinding
from contracts.runs import Page
from contracts.wire import Body, Wire

Version = Annotated[int, msgspec.Meta(ge=1)]
Capacity = Annotated[int, msgspec.Meta(ge=0, le=10_000)]
Warm = Annotated[int, msgspec.Meta(ge=0, le=1000)]


class AdminManager(Wire, frozen=True, kw_only=True):
    id: UUID
    name: str
    backend: str
    url: str
    version: int
    """For `expected_version` or `If-Match`: raised by each PATCH."""
    max_workers: int
    """In force: what was set, and never above `own_max_workers`."""
    own_max_workers: int
    """The manager's own setting, BERTH_MAX_WORKERS."""
    wanted_max_workers: int | None = None
    """As it was set here; None: nothing was."""
    warm: int | None = None
    """As it was set here; None: the manager's own setting."""
    draining: bool
    """It was asked to drain, here or by its own end."""
    wanted_draining: bool
    workers: int
    """Live: neither released nor superseded."""
    states: dict[str, int]
    """How many workers it has in each state; with those that are not removed yet."""
    agents: list[AgentOffer]
    isolation: dict[str, bool]
    """What its backend really does, by capability."""
    containers: ContainerOffer = msgspec.field(default_factory=ContainerOffer)
    """What it grants to apps."""
    preflight: list[PreflightFinding] = msgspec.field(default_factory=list[PreflightFinding])
    """What it found when it looked at its host."""
    last_seen_at: datetime.datetime
    silent_seconds: float
    """Since its last heartbeat, by the database's clock."""
    incarnation: int


class AdminManagerPage(Page, frozen=True, kw_only=True):
    items: list[AdminManager]


class PatchManager(Body, frozen=True, kw_only=True):
    """Left out: unchanged. null: the manager's own setting. Kept, whatever is restarted."""

    expected_version: Version | None = None
    """Or the header `If-Match`: one of both."""
    max_workers: Capacity | msgspec.UnsetType | None = msgspec.UNSET
    """At most its own setting. Workers that are there stay until they are idle."""
    warm: Warm | msgspec.UnsetType | None = msgspec.UNSET
    draining: bool | msgspec.UnsetType = msgspec.UNSET


class Administrator(Wire, frozen=True, kw_only=True):
    user_id: UUID
    name: str


class AdministratorPage(Page, frozen=True, kw_only=True):
    items: list[Administrator]
