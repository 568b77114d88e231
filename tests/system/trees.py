"""A committed snapshot against a tree on disk, byte for byte; the store is read as files."""

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple, Protocol

from blake3 import blake3

from snapshots.content import checked, opened
from snapshots.manifest import Limits
from snapshots.model import Item, Kind
from snapshots.reading import manifest_of

Damage = tuple[bytes, str]


class Objects(Protocol):
    def object(self, key: str) -> bytes: ...


class Stored(NamedTuple):
    items: dict[bytes, Item]
    contents: dict[bytes, bytes]
    """Of files and their twins."""


def read_manifest(stack: Objects, key: str, sha256: str) -> Stored:
    """With every part that it names found in its pack, and of the content that was saved."""
    stored = stack.object(key)
    assert hashlib.sha256(stored).hexdigest() == sha256, f"V5: manifest {key} was changed"
    manifest = manifest_of(stored, Limits(100_000, 1 << 32))
    packs = [stack.object(pack.key) for pack in manifest.packs]
    for pack, content in zip(manifest.packs, packs, strict=True):
        assert len(content) == pack.length, f"V5: pack {pack.key} has another length"
    stored = Stored({}, {})
    for item in manifest.items():
        stored.items[item.path] = item
        if item.kind is Kind.FILE:
            stored.contents[item.path] = _content_of(item, packs)
        elif item.kind is Kind.TWIN:
            stored.contents[item.path] = stored.contents[item.target]
    return stored


def _content_of(item: Item, packs: list[bytes]) -> bytes:
    """Raises `Corrupt` for a wrong byte."""
    pieces: list[bytes] = []
    for part in item.parts:
        if part.is_hole:
            pieces.append(bytes(part.size))
            continue
        frame = packs[part.pack][part.offset : part.offset + part.length]
        pieces.append(bytes(checked(opened(frame), part)))
    return b"".join(pieces)


def differences(stored: Stored, root: Path) -> list[Damage]:
    here = {path: _described(path, root) for path in _below(root)}
    saved = {path: _of_item(item, stored) for path, item in stored.items.items()}
    return [
        (path, f"saved {saved.get(path)}, there {here.get(path)}")
        for path in sorted(here.keys() | saved.keys())
        if here.get(path) != saved.get(path)
    ]


def _below(root: Path) -> list[bytes]:
    found: list[bytes] = []
    for folder, folders, files in os.walk(os.fsencode(root)):
        found += [os.path.join(folder, name) for name in (*folders, *files)]  # noqa: PTH118 - bytes
    return [os.path.relpath(path, os.fsencode(root)) for path in found]


def _described(path: bytes, root: Path) -> str:
    place = root / os.fsdecode(path)
    status = place.lstat()
    mode = f"{stat.S_IMODE(status.st_mode):o}"
    if stat.S_ISLNK(status.st_mode):
        return f"link to {place.readlink()}"
    if stat.S_ISDIR(status.st_mode):
        return f"directory {mode}"
    return f"file {mode} {blake3(place.read_bytes()).hexdigest()}"


def _of_item(item: Item, stored: Stored) -> str:
    if item.kind is Kind.LINK:
        return f"link to {os.fsdecode(item.target)}"
    if item.kind is Kind.DIRECTORY:
        return f"directory {item.mode:o}"
    return f"file {item.mode:o} {blake3(stored.contents[item.path]).hexdigest()}"
