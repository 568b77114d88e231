"""Writes a manifest's tree into an empty directory: the blocking half of a restore.

Order: directories, what is taken over, files with their contents, twins, links, then modes and
times of directories; what stands at the top gets its mode last, for a directory without write
permission cannot be renamed. No link exists while anything is written, and nothing is opened
through one. Files may be made by several threads at once.
"""

import os
import stat
from collections.abc import Iterable, Sequence

from chassis.failpoints import failpoint_sync
from executor.workspace.beneath import DIRECTORY, opened_parent
from executor.workspace.errors import Corrupt, UnsafePath
from executor.workspace.parents import Parents
from executor.workspace.planning import Job, Needed, jobs_of
from executor.workspace.progress import Progress
from snapshots.content import checked, opened
from snapshots.errors import BadPath
from snapshots.manifest import Manifest
from snapshots.model import Item, Kind

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MADE = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
OWN = 0o600
WRITE_BYTES = 256 * 1024
"""In one call: of several MiB a kernel makes pages of several MiB, and that took three times as
long (ext4, Linux 6.18)."""


class Writer:
    """`root` is a handle of the empty directory; it is the caller's to close."""

    def __init__(self, root: int, progress: Progress) -> None:
        self._root = root
        self._progress = progress

    def make_directories(self, directories: Sequence[Item]) -> None:
        with Parents(self._root) as parents:
            for item in directories:
                parent, name = parents.of(item.path)
                os.mkdir(name, 0o700, dir_fd=parent)

    def make_files(self, items: Sequence[Item]) -> None:
        """Without content, or all holes yet: what has some gets it from `write`."""
        with Parents(self._root) as parents:
            for item in items:
                parent, name = parents.of(item.path)
                handle = os.open(name, _NEW, OWN, dir_fd=parent)
                try:
                    if item.size:
                        os.ftruncate(handle, item.size)
                    else:
                        _settle(handle, item)
                        self._progress.add(0)
                finally:
                    os.close(handle)

    def take_over(self, top: int, items: Sequence[Item]) -> None:
        """Files of the tree at `top`, as they are in the manifest but for their marks."""
        with Parents(self._root) as parents:
            for item in items:
                parent, name = parents.of(item.path)
                with opened_parent(top, item.path, ours=True) as (above, former):
                    os.rename(former, name, src_dir_fd=above, dst_dir_fd=parent)
                os.chmod(name, OWN, dir_fd=parent)
                handle = os.open(name, _MADE, dir_fd=parent)
                try:
                    _settle(handle, item)
                finally:
                    os.close(handle)
                self._progress.add(item.size)

    def write(self, frames: Sequence[tuple[Needed, memoryview]]) -> None:
        """All that is needed of these frames. Raises `snapshots.errors.Corrupt` if a byte is not
        what was saved.
        """
        with Parents(self._root) as parents:
            for needed, frame in frames:
                content = opened(frame)
                for job in jobs_of(needed):
                    found = checked(content, job.part)
                    if job.at is None:
                        self._make_whole(parents, job, found)
                    else:
                        self._write_piece(parents, job, found, job.at)
        failpoint_sync("restore.after_pack")

    def finish_files(self, pieced: Sequence[Item]) -> None:
        with Parents(self._root) as parents:
            for item in pieced:
                parent, name = parents.of(item.path)
                handle = os.open(name, _MADE, dir_fd=parent)
                try:
                    _settle(handle, item)
                finally:
                    os.close(handle)
                self._progress.add(0)

    def make_twins(self, manifest: Manifest) -> None:
        with Parents(self._root) as parents, Parents(self._root) as firsts:
            for item in _of_kind(manifest, Kind.TWIN):
                parent, name = parents.of(item.path)
                first, first_name = _file_at(firsts, item)
                os.link(
                    first_name,
                    name,
                    src_dir_fd=first,
                    dst_dir_fd=parent,
                    follow_symlinks=False,
                )
                self._progress.add(0)

    def make_links(self, manifest: Manifest) -> None:
        with Parents(self._root) as parents:
            for item in _of_kind(manifest, Kind.LINK):
                parent, name = parents.of(item.path)
                os.symlink(item.target, name, dir_fd=parent)
                times = (item.mtime_ns, item.mtime_ns)
                os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)

    def finish_directories(self, directories: Sequence[Item]) -> None:
        """Of all that are not at the top; what is inside comes first."""
        below = (item for item in reversed(directories) if b"/" in item.path)
        _settle_directories(self._root, below)

    def _make_whole(self, parents: Parents, job: Job, content: memoryview) -> None:
        parent, name = parents.of(job.path)
        handle = os.open(name, _NEW, OWN, dir_fd=parent)
        try:
            _write_all(handle, content, 0)
            _settle(handle, job)
        finally:
            os.close(handle)
        self._progress.add(job.size)

    def _write_piece(self, parents: Parents, job: Job, content: memoryview, at: int) -> None:
        parent, name = parents.of(job.path)
        handle = os.open(name, _MADE, dir_fd=parent)
        try:
            _write_all(handle, content, at)
        finally:
            os.close(handle)
        self._progress.add(job.size, files=0)


def finish_top(root: int, directories: Iterable[Item]) -> None:
    """Modes and times at the top, in the directory where they stand now."""
    _settle_directories(root, (item for item in directories if b"/" not in item.path))


def _file_at(firsts: Parents, twin: Item) -> tuple[int, bytes]:
    try:
        first, name = firsts.of(twin.target)
        status = os.stat(name, dir_fd=first, follow_symlinks=False)
    except (BadPath, UnsafePath, FileNotFoundError) as error:
        raise Corrupt(f"a twin of nothing: {twin.path[:300]!r}") from error
    if not stat.S_ISREG(status.st_mode):
        raise Corrupt(f"a twin of no file: {twin.path[:300]!r}")
    return first, name


def _of_kind(manifest: Manifest, kind: Kind) -> Iterable[Item]:
    return (item for item in manifest.items() if item.kind is kind)


def _settle_directories(root: int, directories: Iterable[Item]) -> None:
    with Parents(root) as parents:
        for item in directories:
            parent, name = parents.of(item.path)
            handle = os.open(name, DIRECTORY, dir_fd=parent)
            try:
                _settle(handle, item)
            finally:
                os.close(handle)


def _settle(handle: int, item: Item | Job) -> None:
    os.utime(handle, ns=(item.mtime_ns, item.mtime_ns))
    os.fchmod(handle, item.mode)


def _write_all(handle: int, content: memoryview, offset: int) -> None:
    while content:
        written = os.pwrite(handle, content[:WRITE_BYTES], offset)
        content, offset = content[written:], offset + written
