"""`security.*` that a session's own log tells."""

import datetime

from contracts.event import Event


class EgressDenied(Event, frozen=True, kw_only=True, tag="security.egress_denied"):
    """The relay let something of the agent's not pass. Equal ones of a short time are one."""

    upstream: str
    """A named upstream, or `tunnel`."""
    method: str = ""
    host: str = ""
    port: int = 0
    """0: it was not that far."""
    path: str = ""
    """Without its query."""
    rule: str
    """Which rule said no."""
    count: int = 1
    last_at: datetime.datetime
    """By the relay's clock."""
