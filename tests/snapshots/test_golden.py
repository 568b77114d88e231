"""Snapshots that were written by each format's first version, read by this one."""

import hashlib
import json
import stat
from pathlib import Path

import pytest

from snapshots.content import checked, opened
from snapshots.manifest import Limits, Manifest
from snapshots.model import Item, Kind
from snapshots.reading import manifest_of

GOLDEN = Path(__file__).parent / "golden"
LIMITS = Limits(max_items=1000, max_bytes=1 << 30)

Line = tuple[bytes, str, int, int, int, str, bytes]
"""Path, kind, mode, time, size, SHA-256 of the content, target."""


def expected() -> list[Line]:
    lines = json.loads((GOLDEN / "tree.json").read_text())
    return [(bytes.fromhex(path), *rest, bytes.fromhex(target)) for path, *rest, target in lines]


@pytest.fixture(params=["one", "two"])
def directory(request: pytest.FixtureRequest) -> Path:
    return GOLDEN / str(request.param)


def content_of(item: Item, packs: list[bytes]) -> bytes:
    frames = (packs[part.pack][part.offset : part.offset + part.length] for part in item.parts)
    return b"".join(
        checked(opened(frame), part) for frame, part in zip(frames, item.parts, strict=True)
    )


def lines_of(manifest: Manifest, directory: Path) -> list[Line]:
    packs = [(directory / pack.key).read_bytes() for pack in manifest.packs]
    assert [len(pack) for pack in packs] == [pack.length for pack in manifest.packs]
    contents: dict[bytes, tuple[int, str]] = {}
    lines: list[Line] = []
    for item in manifest.items():
        size, digest, kind = 0, "", item.kind.value
        if item.kind is Kind.FILE:
            content = content_of(item, packs)
            contents[item.path] = len(content), hashlib.sha256(content).hexdigest()
        if item.kind in {Kind.FILE, Kind.TWIN}:
            size, digest = contents[item.target or item.path]
            kind = "f"
        mode = 0 if item.kind is Kind.LINK else stat.S_IMODE(item.mode)
        target = b"" if item.kind is Kind.TWIN else item.target
        lines.append((item.path, kind, mode, item.mtime_ns, size, digest, target))
    return sorted(lines)


def test_golden__every_byte_is_read_as_it_was(directory: Path) -> None:
    manifest = manifest_of((directory / "manifest").read_bytes(), LIMITS)
    assert lines_of(manifest, directory) == expected()


def test_golden__is_found_by_path(directory: Path) -> None:
    manifest = manifest_of((directory / "manifest").read_bytes(), LIMITS)
    found = manifest.find(b".berth/session.json")
    assert found is not None
    assert found.size == 2
