"""What a run was asked, as it is kept: replicas of other versions read it, nothing is refused."""

from typing import Any

import msgspec

from contracts.runs import RunLimits
from contracts.wire import Wire


class StoredOptions(Wire, frozen=True, kw_only=True):
    """`contracts.runs.RunOptions`, without its refusal of unknown fields."""

    model: str | None = None
    mode: str | None = None
    needs: list[str] = msgspec.field(default_factory=list[str])
    priority: int = 5
    limits: RunLimits | None = None
    provider_options: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
