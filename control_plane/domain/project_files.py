"""A project's files: paths, and who may do what with them. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from chassis.files.sensitive import Sensitive
from contracts.project_files import ProjectFileRule
from control_plane.domain.access import Role

Right = Literal["read", "write"]

RANK = {Role.VIEWER: 0, Role.MEMBER: 1, Role.OWNER: 2}
SENSITIVE_ROLE = Role.OWNER
SESSION_ROLE = Role.VIEWER
"""What is in a session can be read by everybody in its project."""
DEFAULT_RULE = ProjectFileRule(prefix="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks, in which project, as what."""

    project_id: UUID
    user_id: UUID
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRow:
    path: str
    sha256: str | None
    """None: a directory."""
    size: int
    executable: bool
    updated_by: UUID | None
    updated_at: datetime
    key: str | None = None
    """Of the object that holds it, where that was asked for."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Of one project: the longest prefix that fits decides."""

    listed: Sequence[ProjectFileRule]
    sensitive: Sensitive

    def may(self, role: Role, path: str, right: Right) -> bool:
        lowest = self.lowest(path, right)
        if self.sensitive.covers(path.encode()) and RANK[lowest] < RANK[SENSITIVE_ROLE]:
            lowest = SENSITIVE_ROLE
        return RANK[role] >= RANK[lowest]

    def may_unless_sensitive(self, role: Role, path: str, right: Right) -> bool:
        return RANK[role] >= RANK[self.lowest(path, right)]

    def may_throughout(self, role: Role, path: str, right: Right) -> bool:
        """Also wherever beneath it a rule begins."""
        inner = [rule.prefix for rule in self.listed if is_beneath(rule.prefix, path)]
        return all(self.may(role, one, right) for one in [path, *inner])

    def lowest(self, path: str, right: Right) -> Role:
        """The lowest role that may, sensitive or not."""
        fitting = [rule for rule in self.listed if is_beneath(path, rule.prefix)]
        rule = max(fitting, key=lambda one: len(one.prefix), default=DEFAULT_RULE)
        return Role(rule.read if right == "read" else rule.write)

    def in_sessions(self, path: str, *, named: bool) -> bool:
        """A sensitive one only where it is `named` itself."""
        if self.sensitive.covers(path.encode()) and not named:
            return False
        return RANK[SESSION_ROLE] >= RANK[self.lowest(path, "read")]


def parent_of(path: str) -> str:
    return path.rpartition("/")[0]


def ancestors_of(path: str) -> list[str]:
    """From the top down; neither the top nor the path itself."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def is_beneath(path: str, prefix: str) -> bool:
    """Or the same; part by part."""
    return not prefix or path == prefix or path.startswith(prefix + "/")


def etag_of(sha256: str) -> str:
    return f'"{sha256}"'
