"""Who may do what: principals, roles, actions, and the one table that joins them. Pure."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from contracts.errors import Code


class Role(enum.StrEnum):
    OWNER = "owner"
    MEMBER = "member"
    VIEWER = "viewer"


class Action(enum.StrEnum):
    READ = "read"
    WRITE = "write"
    """Send, answer, cancel, change."""
    MANAGE = "manage"
    """Members, keys, forced removals, the audit."""
    OPEN_SENSITIVE = "open_sensitive"
    """Files whose names say that they hold secrets: read, write, download, search them."""


ALLOWED: dict[Role, frozenset[Action]] = {
    Role.OWNER: frozenset({Action.READ, Action.WRITE, Action.MANAGE, Action.OPEN_SENSITIVE}),
    Role.MEMBER: frozenset({Action.READ, Action.WRITE}),
    Role.VIEWER: frozenset({Action.READ}),
}

Noun = Literal["project", "session", "run", "task", "request", "app", "job"]
"""What carries a project, and is named in paths as `<noun>_id`."""

UNKNOWN: dict[Noun, Code] = {
    "project": Code.PROJECT_NOT_FOUND,
    "session": Code.SESSION_NOT_FOUND,
    "run": Code.RUN_NOT_FOUND,
    "task": Code.TASK_NOT_FOUND,
    "request": Code.REQUEST_NOT_FOUND,
    "app": Code.APP_NOT_FOUND,
    "job": Code.JOB_NOT_FOUND,
}
"""Said of what does not exist and of what is somebody else's alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller, with its user's present roles; a key bound to a project has only that one, and
    administers nothing.
    """

    user_id: UUID
    key_id: UUID
    kind: Literal["user", "service"]
    name: str
    bound_to: UUID | None
    roles: Mapping[UUID, Role]
    administrator: bool = False
    """Of the installation: of its managers and its limits, not of what is in projects."""

    def projects(self, action: Action) -> list[UUID]:
        """Where it may do that."""
        return [project for project, role in self.roles.items() if action in ALLOWED[role]]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCaller:
    """A worker that proved its token."""

    id: UUID
    session_id: UUID
    project_id: UUID
    manager_id: UUID
    epoch: int
    superseded: bool
    """Good for a side snapshot only."""
    released: bool
