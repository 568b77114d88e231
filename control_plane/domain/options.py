"""What a run is asked: checked when it comes in, never when it is read again."""

from typing import Any

import msgspec

from chassis.errors import BerthError
from contracts.errors import Code
from contracts.runs import Need, RunLimits, RunOptions
from contracts.wire import Wire


class StoredOptions(Wire, frozen=True, kw_only=True):
    """`contracts.runs.RunOptions` as they are kept: replicas of other versions read them, nothing
    is refused.
    """

    model: str | None = None
    mode: str | None = None
    needs: list[str] = msgspec.field(default_factory=list[str])
    priority: int = 5
    limits: RunLimits | None = None
    provider_options: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


def require_known(options: RunOptions) -> None:
    """Raises BerthError `validation_failed` for a need that nobody could ever prove."""
    known = [need.value for need in Need]
    for place, need in enumerate(options.needs):
        if need not in known:
            field, expected = f"options.needs[{place}]", f"one of {', '.join(known)}"
            raise BerthError(
                Code.VALIDATION, f"{field}: expected {expected}", field=field, expected=expected
            )
