"""A project's own files: shared by its people, read-only in its sessions.

They are told as a workspace's are (`contracts.workspace_files`); an ETag is a file's SHA-256.
"""

from typing import Annotated

import msgspec

from contracts.projects import RoleName
from contracts.wire import Body, Wire

MAX_RULES = 200
PROJECT_PATH_BYTES = 1024
"""Of a path: an index of the database has to hold it, with that of its directory."""

Prefix = Annotated[str, msgspec.Meta(examples=["docs"])]
"""A file or a directory, with all that is in it; empty: everything."""


class ProjectFileRule(Wire, frozen=True, kw_only=True):
    """Who may do what below a prefix. The longest one that fits decides; without any, viewers read
    and members write.
    """

    prefix: Prefix
    read: RoleName = "viewer"
    """The lowest role that may. What viewers may not read is in no session either."""
    write: RoleName = "member"


class ProjectFileRules(Wire, frozen=True, kw_only=True):
    rules: list[ProjectFileRule]


class PutProjectFileRules(Body, frozen=True, kw_only=True):
    """In place of all that there are."""

    rules: Annotated[list[ProjectFileRule], msgspec.Meta(max_length=MAX_RULES)]
