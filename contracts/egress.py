"""What a session's agent may reach beyond Berth's own services: set for a project or for one of its
apps. Without any, nothing.
"""

import datetime
import enum
from typing import Annotated
from uuid import UUID

import msgspec

from contracts.endpoint import Endpoint
from contracts.wire import Body, Empty, Wire

HostName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$",
        max_length=253,
        examples=["api.example.org", "*.example.org"],
    ),
]
"""In lower case, without a dot at its end; `*.` stands for one or more labels. Never an address."""
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
RepositoryPath = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*(/\*)?$",
        max_length=200,
        examples=["berth/docs", "berth/*"],
    ),
]
"""As in its URL, without `.git`; `/*` at its end: all below."""
MAX_HOSTS = 200
MAX_REPOSITORIES = 200


class EgressProfile(enum.StrEnum):
    NONE = "none"
    PACKAGES = "packages"
    """The package indexes of the installation, to read."""
    CUSTOM = "custom"
    """Exactly what is listed."""


class EgressHost(Wire, frozen=True, kw_only=True):
    """Opaque bytes to a host of this name: `CONNECT`, with TLS whose server name is the same."""

    host: HostName
    port: Port = 443


class GitRepository(Wire, frozen=True, kw_only=True):
    """Over HTTPS: clone and fetch. To push, the project needs a credential for the host."""

    host: HostName
    path: RepositoryPath
    push: bool = False


class EgressPolicy(Wire, frozen=True, kw_only=True):
    """What is in force for a worker: the app's, else the project's, else nothing."""

    profile: EgressProfile = EgressProfile.NONE
    packages: bool = False
    """With `custom`: the package indexes too."""
    hosts: list[EgressHost] = msgspec.field(default_factory=list[EgressHost])
    repositories: list[GitRepository] = msgspec.field(default_factory=list[GitRepository])
    mib_per_hour: int | None = None
    """Through tunnels, both ways; None: the installation's."""

    @property
    def reads_packages(self) -> bool:
        return self.profile is EgressProfile.PACKAGES or self.packages


class AskedEgress(Body, frozen=True, kw_only=True):
    """`EgressPolicy` as a person asks for it; hosts and repositories go with `custom` only."""

    profile: EgressProfile
    packages: bool = False
    hosts: Annotated[list[EgressHost], msgspec.Meta(max_length=MAX_HOSTS)] = msgspec.field(
        default_factory=list[EgressHost]
    )
    repositories: Annotated[list[GitRepository], msgspec.Meta(max_length=MAX_REPOSITORIES)] = (
        msgspec.field(default_factory=list[GitRepository])
    )
    mib_per_hour: Annotated[int, msgspec.Meta(ge=1, le=1_048_576)] | None = None


# --- relay → control plane, as the worker ------------------------------------------------------


class Denial(Wire, frozen=True, kw_only=True):
    """Equal ones of a short time are one, counted."""

    upstream: str
    """A named upstream, or `tunnel`."""
    method: str
    host: str = ""
    port: int = 0
    path: str = ""
    """Without its query."""
    rule: str
    """Which rule said no: a stable word."""
    count: int = 1
    at: datetime.datetime


class TellDenials(Wire, frozen=True, kw_only=True):
    batch_id: UUID
    """Telling it again tells nothing new."""
    denials: Annotated[list[Denial], msgspec.Meta(max_length=200)]


TELL_DENIALS = Endpoint(
    "/internal/v1/workers/{worker_id}/denials", TellDenials, Empty, idempotent=True, deadline=10.0
)
