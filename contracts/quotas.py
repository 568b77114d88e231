"""How much a project and a user may use: set by administrators, seen by whom they concern."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from contracts.wire import Body, Wire

Subject = Literal["project", "user"]
LimitName = Literal["max_workers", "max_queued", "runs_per_hour"]
Amount = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


class Quota(Wire, frozen=True, kw_only=True):
    """None: no limit; in a subject's own one, the installation's default."""

    max_workers: int | None = None
    """Workers at the same time. A run that would need one more waits."""
    max_queued: int | None = None
    """Runs that have not been started. One more is refused."""
    runs_per_hour: int | None = None
    """Accepted in any hour. One more is refused."""


class PatchQuota(Body, frozen=True, kw_only=True):
    """Left out: unchanged. null: the installation's default; in a default, no limit."""

    max_workers: Amount | msgspec.UnsetType | None = msgspec.UNSET
    max_queued: Amount | msgspec.UnsetType | None = msgspec.UNSET
    runs_per_hour: Amount | msgspec.UnsetType | None = msgspec.UNSET


class Used(Wire, frozen=True, kw_only=True):
    workers: int
    queued: int
    runs_last_hour: int | None = None
    """Counted only under a limit, from when it was set."""


class QuotaUse(Wire, frozen=True, kw_only=True):
    limits: Quota
    """In force."""
    used: Used


class ProjectLimits(Wire, frozen=True, kw_only=True):
    project_id: UUID
    project: QuotaUse
    """Of all its members together."""
    you: QuotaUse
    """Of the caller, in all projects together."""


class SubjectLimits(Wire, frozen=True, kw_only=True):
    """One project's or one user's, as administrators see them."""

    id: UUID
    own: Quota
    limits: Quota
    """In force: its own, else the default."""
    used: Used


class DefaultLimits(Wire, frozen=True, kw_only=True):
    project: Quota
    user: Quota


class PatchDefaultLimits(Body, frozen=True, kw_only=True):
    project: PatchQuota = PatchQuota()
    user: PatchQuota = PatchQuota()
