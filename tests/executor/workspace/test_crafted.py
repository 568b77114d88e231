"""Crafted snapshots: refused, and nothing outside is ever touched."""

import hashlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import zstandard
from blake3 import blake3

from chassis.objects import ObjectStore
from contracts.snapshots import RestorePoint, SnapshotKind
from executor.relay import Relay
from executor.workspace.errors import Corrupt, RestoreFailed
from executor.workspace.transfer import Transfer
from snapshots.manifest import Limits, ManifestWriter
from snapshots.model import Item, Kind, Pack, Part
from tests.executor.outside import Outside
from tests.executor.snapshots import disk_at

CONTENT = b"crafted content"
FRAME = zstandard.ZstdCompressor().compress(CONTENT)
LIMITS = Limits(1000, 1_000_000)
PART = Part(len(CONTENT), blake3(CONTENT).digest(), 0, 0, len(FRAME))


def file(path: bytes, **changes: Any) -> Item:
    part = msgspec.structs.replace(PART, **changes)
    return Item(path, Kind.FILE, 0o644, 1, size=part.size, parts=(part,))


def directory(path: bytes) -> Item:
    return Item(path, Kind.DIRECTORY, 0o755, 1)


def link(path: bytes, target: bytes) -> Item:
    return Item(path, Kind.LINK, 0o777, 1, target=target)


def twin(path: bytes, target: bytes) -> Item:
    return Item(path, Kind.TWIN, 0o644, 1, target=target)


class Restoring:
    """`place` holds what is outside, too."""

    def __init__(self, place: Path, relay: Relay, outside: Outside, store: ObjectStore) -> None:
        self.place = place
        self.workspace = place / "workspace"
        self._relay = relay
        self._outside = outside
        self._store = store

    async def run(self, *items: Item, content: bytes = FRAME) -> None:
        key = f"crafted/{uuid4().hex}"
        writer = ManifestWriter()
        for item in items:
            writer.add(item)
        stored = writer.finish([Pack(key, len(content))], [])
        await self._store.put(key, content)
        await self._store.put(f"{key}-manifest", stored)
        point = RestorePoint(
            snapshot_id=uuid4(),
            type=SnapshotKind.ACKNOWLEDGED,
            manifest=self._outside.sign(f"{key}-manifest"),
            manifest_sha256=hashlib.sha256(stored).hexdigest(),
        )
        transfer = Transfer(self._relay, epoch=1)
        await disk_at(self.place).restore(transfer, point, limits=LIMITS)


@pytest.fixture
def restoring(place: Path, relay: Relay, outside: Outside, object_store: ObjectStore) -> Restoring:
    return Restoring(place, relay, outside, object_store)


@pytest.mark.parametrize(
    "items",
    [
        [file(b"../outside")],
        [file(b"/tmp/outside")],
        [directory(b"a"), file(b"a/../../outside")],
        [link(b"l", b".."), file(b"l/outside")],
        [file(b"f"), file(b"f/inside")],
        [twin(b"t", b"../outside")],
        [link(b"l", b"/etc/passwd"), twin(b"t", b"l")],
        [directory(b"d"), twin(b"t", b"d")],
        [directory(b"d"), twin(b"t", b"d/none")],
    ],
)
async def test_restore__what_leads_out_or_cannot_be_is_refused(
    items: list[Item], restoring: Restoring
) -> None:
    (restoring.place / "outside").write_text("mine")
    with pytest.raises((RestoreFailed, FileNotFoundError)):
        await restoring.run(*items)
    assert (restoring.place / "outside").read_text() == "mine"
    assert not any(path.is_file() for path in restoring.workspace.iterdir())


async def test_restore__a_link_and_what_lies_beside_it_stay_apart(restoring: Restoring) -> None:
    outside = restoring.place / "elsewhere"
    outside.mkdir()
    target = str(outside).encode()
    await restoring.run(directory(b"d"), link(b"d/l", target), file(b"d/l2"))
    assert (restoring.workspace / "d/l").is_symlink()
    assert not list(outside.iterdir())


async def test_restore__a_frame_that_becomes_more_than_any_may_is_refused(
    restoring: Restoring,
) -> None:
    bomb = zstandard.ZstdCompressor().compress(b"\0" * (64 << 20))
    with pytest.raises(Corrupt):
        await restoring.run(file(b"f", length=len(bomb)), content=bomb)


async def test_restore__a_frame_that_says_less_than_it_holds_is_refused(
    restoring: Restoring,
) -> None:
    """Its header says 200 bytes, and 64 MiB would follow."""
    bomb = bytearray(zstandard.ZstdCompressor().compress(b"\0" * (64 << 20)))
    size = bomb.index((64 << 20).to_bytes(4, "little"))
    bomb[size : size + 4] = (200).to_bytes(4, "little")
    with pytest.raises(Corrupt):
        await restoring.run(file(b"f", length=len(bomb)), content=bytes(bomb))


@pytest.mark.parametrize("changes", [{"start": 1}, {"size": 5}, {"hash": b"x" * 32}])
async def test_restore__another_part_of_the_frame_is_refused(
    changes: dict[str, Any], restoring: Restoring
) -> None:
    with pytest.raises(Corrupt):
        await restoring.run(file(b"f", **changes))


async def test_restore__another_content_is_refused(restoring: Restoring) -> None:
    other = zstandard.ZstdCompressor().compress(b"CRAFTED CONTENT")
    with pytest.raises(Corrupt):
        await restoring.run(file(b"f", length=len(other)), content=other)
