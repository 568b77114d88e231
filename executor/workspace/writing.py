"""Writes a manifest's tree into an empty directory: the blocking half of a restore.

Order: directories, empty files, contents, links, modes and times; what stands at the top gets its
mode and time last, for a directory without write permission cannot be renamed. No link exists while
anything is written, and nothing is opened through one.
"""

import os
import threading
from collections.abc import Iterable

import zstandard
from blake3 import blake3

from chassis.failpoints import failpoint_sync
from executor.workspace.beneath import opened_parent
from executor.workspace.errors import Corrupt
from executor.workspace.manifest import Blob, Item, Kind, Manifest

Place = tuple[bytes, int]
"""A file and the offset of a blob in it."""


class Writer:
    """`root` is a handle of the empty directory; it is the caller's to close."""

    def __init__(self, root: int, manifest: Manifest) -> None:
        self._root = root
        self._manifest = manifest
        self._places = _places(manifest)
        self._local = threading.local()

    def make_tree(self) -> None:
        for item in self._manifest.items:
            if item.kind is Kind.DIRECTORY:
                with opened_parent(self._root, item.path) as (parent, name):
                    os.mkdir(name, 0o700, dir_fd=parent)
            elif item.kind is Kind.FILE:
                self._make_file(item)
        failpoint_sync("restore.after_tree")

    def write_pack(self, number: int, content: bytes) -> None:
        """Every blob of that pack that is needed, to every file that has it. May run in threads.

        Raises `Corrupt` if a byte is not what was saved.
        """
        for blob in self._manifest.blobs:
            if blob.pack == number and blob.hash in self._places:
                self._write_blob(blob, content)
        failpoint_sync("restore.after_pack")

    def finish(self) -> None:
        """Links, then modes and times of all that is not at the top; what is inside comes first."""
        for item in self._manifest.items:
            if item.kind is Kind.LINK:
                with opened_parent(self._root, item.path) as (parent, name):
                    os.symlink(item.target, name, dir_fd=parent)
        failpoint_sync("restore.after_links")
        self._settle(item for item in reversed(self._manifest.items) if b"/" in item.path)

    def finish_top(self, root: int) -> None:
        """Modes and times at the top, in the directory where they stand now."""
        for item in self._manifest.items:
            if b"/" not in item.path:
                _settle(root, item)

    def _settle(self, items: Iterable[Item]) -> None:
        for item in items:
            _settle(self._root, item)

    def _make_file(self, item: Item) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with opened_parent(self._root, item.path) as (parent, name):
            handle = os.open(name, flags, 0o600, dir_fd=parent)
        try:
            os.ftruncate(handle, item.size)
        finally:
            os.close(handle)

    def _write_blob(self, blob: Blob, content: bytes) -> None:
        frame = memoryview(content)[blob.offset : blob.offset + blob.length]
        raw = self._decompressed(frame, blob.size)
        if len(raw) != blob.size or blake3(raw).digest() != blob.hash:
            raise Corrupt(f"blob {blob.hash.hex()}")
        for path, offset in self._places[blob.hash]:
            with opened_parent(self._root, path) as (parent, name):
                handle = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
            try:
                _pwrite_all(handle, raw, offset)
            finally:
                os.close(handle)

    def _decompressed(self, frame: memoryview, size: int) -> bytes:
        try:
            if zstandard.frame_content_size(frame) != size:
                raise Corrupt("a blob is of another size")
            # one per thread: a decompressor is not shared
            if not hasattr(self._local, "decompressor"):
                self._local.decompressor = zstandard.ZstdDecompressor()
            decompressor: zstandard.ZstdDecompressor = self._local.decompressor
            return decompressor.decompress(frame, max_output_size=size)
        except zstandard.ZstdError as error:
            raise Corrupt(f"a frame: {error}") from error


def needed_packs(manifest: Manifest) -> list[int]:
    places = _places(manifest)
    return sorted({blob.pack for blob in manifest.blobs if blob.hash in places})


def _places(manifest: Manifest) -> dict[bytes, list[Place]]:
    sizes = {blob.hash: blob.size for blob in manifest.blobs}
    places: dict[bytes, list[Place]] = {}
    for item in manifest.items:
        offset = 0
        for name in item.blobs:
            places.setdefault(name, []).append((item.path, offset))
            offset += sizes[name]
    return places


def _settle(root: int, item: Item) -> None:
    with opened_parent(root, item.path) as (parent, name):
        if item.kind is not Kind.LINK:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(name, flags, dir_fd=parent)
            try:
                os.utime(handle, ns=(item.mtime_ns, item.mtime_ns))
                os.fchmod(handle, item.mode)
            finally:
                os.close(handle)
            return
        times = (item.mtime_ns, item.mtime_ns)
        os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)


def _pwrite_all(handle: int, raw: bytes, offset: int) -> None:
    view = memoryview(raw)
    while view:
        written = os.pwrite(handle, view, offset)
        view, offset = view[written:], offset + written
