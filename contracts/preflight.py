"""What a manager found when it looked at its host: told when it registers, shown by the doctor."""

from typing import Literal

from contracts.wire import Wire

PreflightState = Literal["ok", "warn", "fail"]
"""`fail`: a known hole. Trusted sessions run nevertheless; untrusted ones do not."""


class PreflightFinding(Wire, frozen=True, kw_only=True):
    check: str
    """A stable word."""
    state: PreflightState
    found: str
    wrong: str = ""
    """Empty where nothing is."""
    remedy: str = ""
