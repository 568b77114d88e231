"""A committed snapshot against a tree on disk, byte for byte; the store is read as files."""

import hashlib
import os
import stat
from pathlib import Path
from typing import Protocol

import zstandard
from blake3 import blake3

from executor.workspace.manifest import Item, Kind, Manifest, decode

Damage = tuple[bytes, str]


class Objects(Protocol):
    def object(self, key: str) -> bytes: ...


def read_manifest(stack: Objects, key: str, sha256: str) -> Manifest:
    """With every blob that it names found in its pack, and of the content that it is named by."""
    stored = stack.object(key)
    assert hashlib.sha256(stored).hexdigest() == sha256, f"V5: manifest {key} was changed"
    manifest = decode(stored, max_items=100_000, max_bytes=1 << 32)
    packs = [stack.object(pack.key) for pack in manifest.packs]
    for pack, content in zip(manifest.packs, packs, strict=True):
        assert len(content) == pack.length, f"V5: pack {pack.key} has another length"
    for blob in manifest.blobs:
        frame = packs[blob.pack][blob.offset : blob.offset + blob.length]
        content = zstandard.ZstdDecompressor().decompress(frame, max_output_size=blob.size)
        assert blake3(content).digest() == blob.hash, f"V5: blob {blob.hash.hex()} is damaged"
    return manifest


def differences(manifest: Manifest, root: Path) -> list[Damage]:
    here = {path: _described(path, root) for path in _below(root)}
    saved = {item.path: _of_item(item) for item in manifest.items}
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


def _of_item(item: Item) -> str:
    if item.kind is Kind.LINK:
        return f"link to {os.fsdecode(item.target)}"
    if item.kind is Kind.DIRECTORY:
        return f"directory {item.mode:o}"
    return f"file {item.mode:o} {item.hash.hex()}"
