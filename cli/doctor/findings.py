"""One thing that was looked at, and what to do about it."""

from typing import Literal

import msgspec

Verdict = Literal["ok", "note", "hole", "bad"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    verdict: Verdict
    """`note`: Berth runs without it. `hole`: Berth runs, and this host has a known hole, so that it
    takes nobody untrusted. `bad`: Berth does not run."""
    found: str
    how: str = ""
    """What to do."""
