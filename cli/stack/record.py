"""What a running `berth up` leaves in its state directory for the other commands: where it is."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cli.embedded.identity import ProcessIdentity
from cli.embedded.processes import write_whole

API_KEY = Path("secrets", "api-key")
"""The first key, made at the first start; 0600, in a directory that is 0700."""

_RECORD = Path("run", "up.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningStack:
    url: str
    process: ProcessIdentity


def write_record(home: Path, url: str) -> None:
    ourselves = ProcessIdentity.of(os.getpid())
    write_whole(home / _RECORD, json.dumps({"url": url, "process": str(ourselves)}))


def remove_record(home: Path) -> None:
    (home / _RECORD).unlink(missing_ok=True)


def read_record(home: Path) -> RunningStack | None:
    """None: no stack runs here, or not one that we may know of."""
    try:
        found: Any = json.loads((home / _RECORD).read_text())
        url, process = str(found["url"]), ProcessIdentity.parse(str(found["process"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if process is None or not process.alive():
        return None
    return RunningStack(url=url, process=process)


def read_key(home: Path) -> str | None:
    try:
        return (home / API_KEY).read_text().strip() or None
    except OSError:
        return None
