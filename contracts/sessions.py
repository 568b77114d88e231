"""Sessions as clients see them."""

import datetime
import enum
from typing import Annotated, Any
from uuid import UUID

import msgspec

from contracts.checkouts import NO_SOURCE, AskedWorkspace, WorkspaceSource
from contracts.runs import Page
from contracts.wire import Body, Name, Wire


class SessionState(enum.StrEnum):
    ACTIVE = "active"
    ARCHIVED = "archived"


class CreateSession(Body, frozen=True, kw_only=True):
    title: Annotated[str, msgspec.Meta(max_length=200)] = ""
    project_id: UUID | None = None
    """Left out: the key's project, or the only one its owner is a member of."""
    agent: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] | None = None
    app_id: UUID | None = None
    model: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    mode: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    provider_options: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    workspace: AskedWorkspace | None = None
    """What it begins with. Left out: nothing."""


class PatchSession(Body, frozen=True, kw_only=True):
    title: Name | None = None
    archived: bool | None = None


class ForkedFrom(Wire, frozen=True, kw_only=True):
    session_id: UUID
    snapshot_id: UUID
    """The other session's."""
    run_id: UUID | None = None
    """The last one whose conversation was taken over."""


class Session(Wire, frozen=True, kw_only=True):
    id: UUID
    project_id: UUID
    title: str
    agent: str
    app_id: UUID | None = None
    model: str | None = None
    mode: str | None = None
    state: SessionState
    head_snapshot_id: UUID | None = None
    last_seq: int
    """Of its stream: where a new reader may begin."""
    live_run_id: UUID | None = None
    forked_from: ForkedFrom | None = None
    workspace: WorkspaceSource = NO_SOURCE
    """What its workspace began with."""
    created_at: datetime.datetime
    updated_at: datetime.datetime


class SessionPage(Page, frozen=True, kw_only=True):
    items: list[Session]


class Todos(Wire, frozen=True, kw_only=True):
    run_id: UUID
    seq: int | None
    """Of the event that told it last; None: none was told."""
    entries: list[Any] = msgspec.field(default_factory=list[Any])
