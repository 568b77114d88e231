"""An agent's target as far as it was read, and what no reading of one may hold."""

import re
from dataclasses import dataclass

from contracts.relay import Credential, NamedUpstream
from executor_manager.relay.policy import Denied

_DOTS = re.compile(r"(?:\.|%2e){1,2}(?:(?:;|%3b).*)?", re.IGNORECASE)
_TWO_READINGS = re.compile(
    r"//|\\|%(?:2f|5c|[01][0-9a-f]|7f|25(?:2e|2f|5c|00))|%(?![0-9a-f]{2})", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToUpstream:
    upstream: NamedUpstream
    path: str
    """Without the upstream's name and without the query."""
    query: str
    """With its question mark, or empty."""

    @property
    def url(self) -> str:
        return f"{self.upstream.url.rstrip('/')}{self.path}{self.query}"

    @property
    def credential(self) -> Credential | None:
        return self.upstream.credential


def ambiguous(path: str) -> Denied | None:
    """What two readers could read differently."""
    if any(_DOTS.fullmatch(segment) for segment in path.split("/")):
        return Denied("dot_segment")
    if _TWO_READINGS.search(path):
        return Denied("encoded_slash")
    return None
