"""Who is calling: what the gateway asks about a key, and what its signed header then says."""

from typing import Literal

from contracts.endpoint import Endpoint
from contracts.wire import KeyId, Name, ProjectId, Sha256, UserId, Wire


class IdentityClaims(Wire, frozen=True, kw_only=True):
    """Travels signed, for one audience and at most a minute; whoever reads it resolves roles."""

    user_id: UserId
    key_id: KeyId
    kind: Literal["user", "service"]
    name: Name
    project_id: ProjectId | None = None
    """Set when the key is bound to one project."""


class Introspect(Wire, frozen=True, kw_only=True):
    key_hash: Sha256
    """SHA-256 of the key as it was presented: keys themselves don't travel between services."""


class Introspected(Wire, frozen=True, kw_only=True):
    active: bool
    claims: IdentityClaims | None = None
    """Present exactly when active."""
    rate_limit: int | None = None
    """Requests a minute for this key; absent: the gateway's own default."""


INTROSPECT = Endpoint(
    "/internal/v1/keys/introspect", Introspect, Introspected, idempotent=True, deadline=5.0
)
