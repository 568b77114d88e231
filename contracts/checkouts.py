"""What a new session's workspace begins with: a repository, cloned inside the session."""

from typing import Annotated

import msgspec

from contracts.wire import Body, Wire

GitUrl = Annotated[
    str,
    msgspec.Meta(
        pattern=(
            r"^https://([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?"
            r"(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$"
        ),
        max_length=500,
        examples=["https://git.example.org/berth/docs"],
    ),
]
"""Nothing but host and path: no credential, which the project keeps, no port, no query."""
GitRef = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9_]([A-Za-z0-9_+@=-]|[./][A-Za-z0-9_+@=-])*$",
        max_length=250,
        examples=["main", "v1.2.0"],
    ),
]
"""A branch, a tag or a commit."""


class GitSource(Wire, frozen=True, kw_only=True):
    url: GitUrl
    ref: GitRef | None = None
    """None: what the host has as its default."""


class AskedGit(Body, frozen=True, kw_only=True):
    url: GitUrl
    ref: GitRef | None = None


class AskedWorkspace(Body, frozen=True, kw_only=True):
    """Of a new session. Cloned by its first worker, through the session's egress policy, before the
    agent starts; private repositories by the project's credential for the host.
    """

    git: AskedGit | None = None


class WorkspaceSource(Wire, frozen=True, kw_only=True):
    """As it is kept with the session."""

    git: GitSource | None = None


NO_SOURCE = WorkspaceSource()


def source_of(asked: AskedWorkspace | None) -> WorkspaceSource:
    if asked is None or asked.git is None:
        return NO_SOURCE
    return WorkspaceSource(git=GitSource(url=asked.git.url, ref=asked.git.ref))
