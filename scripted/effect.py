"""A mark that the scripted agent leaves outside of its session, for a test to count."""

import urllib.request
from pathlib import Path
from typing import Any

from scripted.script import Effect


def leave_mark(effect: Effect) -> None:
    if effect.path is not None:
        with Path(effect.path).open("a") as ledger:
            ledger.write(f"{effect.key}\n")
    if effect.url is not None:
        request: Any = urllib.request.Request(effect.url, data=effect.key.encode())  # noqa: S310 - named by a test
        with urllib.request.urlopen(request, timeout=10):  # noqa: S310 - named by a test
            pass
