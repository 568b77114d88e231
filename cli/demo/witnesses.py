"""What can be seen from outside a session: its files on disk and its processes."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from cli.embedded.identity import ProcessIdentity
from cli.stack.leftovers import processes_below

AGENT_DATA = ".berth/agents"
"""In the workspace: the agents' own session stores."""


@dataclass(frozen=True, slots=True)
class Place:
    """A worker's directory under the process backend."""

    folder: Path

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    def file(self, name: str) -> Path:
        return self.workspace / name

    def digest(self, name: str) -> str:
        return hashlib.sha256(self.file(name).read_bytes()).hexdigest()

    def holders(self, needle: str) -> set[str]:
        """The workspace's files and links that hold the text, or have it in their names."""
        sought = needle.encode()
        found: set[str] = set()
        for folder, _, names in os.walk(self.workspace):
            for name in names:
                path = Path(folder, name)
                if needle in str(path) or sought in _content(path):
                    found.add(str(path.relative_to(self.workspace)))
        return found

    def processes(self) -> list[ProcessIdentity]:
        """Of this worker: whose environment or command line names its directory."""
        return processes_below(self.folder)


def find_place(home: Path, worker_id: UUID) -> Place | None:
    for record in (home / "services" / "manager" / "workers").glob("*/container.json"):
        try:
            found: Any = json.loads(record.read_text())
        except (OSError, ValueError):
            continue
        if found.get("worker_id") == str(worker_id):
            return Place(record.parent)
    return None


def _content(path: Path) -> bytes:
    return os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
