"""What is committed, read from the store itself: the manifest, its packs, every file's bytes."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from snapshots.model import Kind
from tests.system.oracle import Records
from tests.system.trees import Objects, read_manifest

_HEAD = (
    "SELECT p.manifest_key, p.manifest_sha256 FROM sessions s"
    " JOIN snapshots p ON p.id = s.head_snapshot_id WHERE s.id = $1"
)
MEMORY = ".berth/"
_ANY = "SELECT manifest_key, manifest_sha256 FROM snapshots WHERE id = $1"


class Store(Records, Objects, Protocol):
    """A stack whose database and objects can be read."""


@dataclass(frozen=True)
class Saved:
    """One committed tree: of files their bytes, of links their targets."""

    files: dict[str, bytes]
    links: dict[str, str]
    modes: dict[str, int]

    def lines(self, name: str) -> list[str]:
        return self.files.get(name, b"").decode().split()

    def content(self) -> dict[str, bytes | str]:
        """Of all that is not the agent's memory: bytes of files, targets of links."""
        every: dict[str, bytes | str] = {**self.files, **self.links}
        return {path: one for path, one in every.items() if not path.startswith(MEMORY)}


async def head(stack: Store, session: UUID) -> Saved | None:
    """The session's head snapshot."""
    return await _read(stack, _HEAD, session)


async def snapshot(stack: Store, snapshot_id: UUID) -> Saved:
    found = await _read(stack, _ANY, snapshot_id)
    assert found is not None, f"there is no snapshot {snapshot_id}"
    return found


async def _read(stack: Store, query: str, key: UUID) -> Saved | None:
    rows = await stack.fetch(query, key)
    if not rows:
        return None
    stored = read_manifest(stack, rows[0]["manifest_key"], rows[0]["manifest_sha256"])
    return Saved(
        files={_name(path): content for path, content in stored.contents.items()},
        links={
            _name(path): _name(item.target)
            for path, item in stored.items.items()
            if item.kind is Kind.LINK
        },
        modes={_name(path): item.mode for path, item in stored.items.items()},
    )


def _name(path: bytes) -> str:
    return path.decode(errors="surrogateescape")
