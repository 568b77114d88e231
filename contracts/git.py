"""Git over HTTPS as owners of a project see it: a credential for each host.

A session reaches a host through its relay, below `/internal/v1/workers/{worker_id}/git`, with git's
own paths and bodies: they pass through and are nobody's types here.
"""

import datetime
from typing import Annotated
from uuid import UUID

import msgspec

from contracts.wire import Body, Wire

GIT_HOST = r"^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$"
"""As repositories of an egress policy name it: in lower case, neither an address nor `*.`."""


class PutGitCredential(Body, frozen=True, kw_only=True):
    username: Annotated[str, msgspec.Meta(pattern=r"^[\x21-\x39\x3b-\x7e]{1,200}$")] = "git"
    """As the host wants it beside a token; most take any."""
    token: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
    """Write-only, encrypted at rest."""


class GitCredential(Wire, frozen=True, kw_only=True):
    """Its token is never shown."""

    project_id: UUID
    host: str
    username: str
    created_at: datetime.datetime
    updated_at: datetime.datetime


class GitCredentialList(Wire, frozen=True, kw_only=True):
    items: list[GitCredential]
