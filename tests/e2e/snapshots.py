"""What is committed, read from the store itself: the manifest, its packs, every file's bytes."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import zstandard
from blake3 import blake3

from executor.workspace.manifest import Item, Kind, Manifest
from tests.system.oracle import Records
from tests.system.trees import Objects, read_manifest

_HEAD = (
    "SELECT p.manifest_key, p.manifest_sha256 FROM sessions s"
    " JOIN snapshots p ON p.id = s.head_snapshot_id WHERE s.id = $1"
)
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
    manifest = read_manifest(stack, rows[0]["manifest_key"], rows[0]["manifest_sha256"])
    contents = _blobs(stack, manifest)
    files = [item for item in manifest.items if item.kind is Kind.FILE]
    return Saved(
        files={_name(item): _content(item, contents) for item in files},
        links={
            _name(item): item.target.decode() for item in manifest.items if item.kind is Kind.LINK
        },
        modes={_name(item): item.mode for item in manifest.items},
    )


def _name(item: Item) -> str:
    return item.path.decode(errors="surrogateescape")


def _blobs(stack: Objects, manifest: Manifest) -> dict[bytes, bytes]:
    packs = [stack.object(pack.key) for pack in manifest.packs]
    return {
        blob.hash: zstandard.ZstdDecompressor().decompress(
            packs[blob.pack][blob.offset : blob.offset + blob.length], max_output_size=blob.size
        )
        for blob in manifest.blobs
    }


def _content(item: Item, contents: dict[bytes, bytes]) -> bytes:
    content = b"".join(contents[blob] for blob in item.blobs)
    assert blake3(content).digest() == item.hash or not item.size, f"V5: {item.path!r} is damaged"
    return content
