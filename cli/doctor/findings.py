"""One thing that was looked at, and what to do about it."""

from typing import Literal

import msgspec

Verdict = Literal["ok", "note", "bad"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    verdict: Verdict
    """`note`: Berth runs without it. `bad`: it does not."""
    found: str
    how: str = ""
    """What to do."""
