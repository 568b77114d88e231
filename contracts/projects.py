"""Projects, their members, API keys, the audit: as clients see them."""

import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from contracts.containers import AskedContainer, ContainerChoice
from contracts.egress import AskedEgress, EgressPolicy
from contracts.runs import AskedLimits, Page, RunLimits
from contracts.runtime_manifests import AskedRuntimeManifest, RuntimeManifest
from contracts.wire import Body, Name, Wire
from contracts.workers import Cpus, DiskMib, MemoryMib, Pids, WorkerLimits

RoleName = Literal["owner", "member", "viewer"]


class CreateProject(Body, frozen=True, kw_only=True):
    name: Name


class Project(Wire, frozen=True, kw_only=True):
    id: UUID
    name: str
    role: RoleName
    """The caller's."""
    created_at: datetime.datetime


class ProjectList(Page, frozen=True, kw_only=True):
    items: list[Project]


class CreateUser(Body, frozen=True, kw_only=True):
    """A person who is made a member at once: a user stands in at least one project."""

    name: Name
    role: RoleName = "member"


class PutMember(Body, frozen=True, kw_only=True):
    role: RoleName


class Member(Wire, frozen=True, kw_only=True):
    user_id: UUID
    name: str
    role: RoleName


class MemberList(Page, frozen=True, kw_only=True):
    items: list[Member]


class CreateKey(Body, frozen=True, kw_only=True):
    name: Name
    project_id: UUID | None = None
    """Binds the key to one project; left out, it is good for all of its user's projects."""
    user_id: UUID | None = None
    """Another user's key: for owners of `project_id`, which that user must be a member of."""
    rate_limit: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None
    """Requests a minute."""


class Key(Wire, frozen=True, kw_only=True):
    id: UUID
    user_id: UUID
    project_id: UUID | None
    name: str
    rate_limit: int | None = None
    created_at: datetime.datetime
    revoked_at: datetime.datetime | None = None


class NewKey(Wire, frozen=True, kw_only=True):
    id: UUID
    name: str
    key: str
    """Shown this once; only its hash is kept."""
    project_id: UUID | None = None


class KeyList(Page, frozen=True, kw_only=True):
    items: list[Key]


class AuditEntry(Wire, frozen=True, kw_only=True):
    id: UUID
    project_id: UUID | None
    """None: of the installation."""
    actor: UUID | None
    action: str
    target: str
    detail: dict[str, Any]
    at: datetime.datetime


class AuditPage(Page, frozen=True, kw_only=True):
    items: list[AuditEntry]


class AskedWorkerLimits(Body, frozen=True, kw_only=True):
    """`WorkerLimits` as a person asks for them."""

    cpus: Cpus | None = None
    memory_mib: MemoryMib | None = None
    disk_mib: DiskMib | None = None
    pids: Pids | None = None


class CreateApp(Body, frozen=True, kw_only=True):
    name: Name
    project_id: UUID | None = None
    agent: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    limits: AskedLimits | None = None
    """Of its runs."""
    worker_limits: AskedWorkerLimits | None = None
    """Of its sessions' containers; a session's own come first."""
    egress: AskedEgress | None = None
    """What its sessions may reach, in place of what the project says."""
    container: AskedContainer | None = None
    """What its sessions run in; refused where no manager grants it."""
    runtime_manifest: AskedRuntimeManifest | None = None
    """What its sessions' workspaces are made of, besides what they have saved."""


class PatchApp(Body, frozen=True, kw_only=True):
    """Left out: unchanged. null: none of its own. Containers that are there keep their limits."""

    name: Name | msgspec.UnsetType = msgspec.UNSET
    agent: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    limits: AskedLimits | msgspec.UnsetType | None = msgspec.UNSET
    worker_limits: AskedWorkerLimits | msgspec.UnsetType | None = msgspec.UNSET
    egress: AskedEgress | msgspec.UnsetType | None = msgspec.UNSET
    container: AskedContainer | msgspec.UnsetType | None = msgspec.UNSET
    runtime_manifest: AskedRuntimeManifest | msgspec.UnsetType | None = msgspec.UNSET


class App(Wire, frozen=True, kw_only=True):
    id: UUID
    project_id: UUID
    name: str
    agent: str
    limits: RunLimits | None = None
    worker_limits: WorkerLimits | None = None
    egress: EgressPolicy | None = None
    """None: the project's."""
    container: ContainerChoice | None = None
    """None: the installation's."""
    runtime_manifest: RuntimeManifest | None = None
    """None: the project's files are there, and nothing else is done."""
    created_at: datetime.datetime


class AppList(Page, frozen=True, kw_only=True):
    items: list[App]
