"""Processes that belong to a state directory, whoever started them."""

import os
from pathlib import Path

from cli.embedded.identity import ProcessIdentity


def processes_below(folder: Path) -> list[ProcessIdentity]:
    """Those that name something below `folder` in environment, command line or directory."""
    mark = os.fsencode(folder) + b"/"
    found: list[ProcessIdentity] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            told += os.fsencode((entry / "cwd").readlink()) + b"/"
        except OSError:
            continue  # it has ended, or is somebody else's
        identity = ProcessIdentity.of(int(entry.name))
        if mark in told and identity is not None:
            found.append(identity)
    return found
