"""Layers over a restored workspace: files put in place, trees that are read-only, fix-ups.

Everything is walked beneath the workspace's handle and no link is followed: what the session's
agent left there decides nothing but whether there is a conflict. What is made is made beside, at
the top, under a name that no snapshot takes, and renamed into its place. Each call may be repeated.
"""

import fnmatch
import os
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from chassis.failpoints import failpoint_sync
from chassis.ids import new_id
from contracts.runtime_manifests import WORKSPACE, CleanupRule, RuntimeVersion
from contracts.snapshots import LayerFile
from executor.workspace.beneath import (
    DIRECTORY,
    exists,
    make_directory,
    opened_directory,
    opened_parent,
    opened_up,
    read_ours,
    remove,
    write_file,
)
from executor.workspace.errors import RestoreFailed, UnsafePath
from executor.workspace.scan import STAGING_PREFIX

RECORD = b".berth/layers.json"
RECORD_BYTES = 4 * 1024 * 1024
READ_ONLY = 0o222
MAX_DEPTH = 512
"""Levels, each of which holds a handle."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What layers did to a session so far: saved with it, and so it goes back with it. One with
    another version than there can be is none.
    """

    runtime_version: RuntimeVersion = ""
    """Of the runtime that had it last."""
    seeds: list[str] = msgspec.field(default_factory=list[str])
    """Paths that were once given, whatever became of them."""


class Staged(msgspec.Struct, frozen=True):
    """Something that was made beside, to be renamed into its place."""

    name: bytes
    path: bytes


def relative(path: str) -> bytes:
    """Of an absolute path in the workspace. Raises `RestoreFailed`."""
    if not path.startswith(f"{WORKSPACE}/"):
        raise RestoreFailed("layer_refused", f"{path[:300]} is not in {WORKSPACE}")
    return path.removeprefix(f"{WORKSPACE}/").encode()


def record_in(root: Path) -> Record:
    """Nothing, where there is none, or none that can be read."""
    with opened_directory(root) as top, suppress(UnsafePath, msgspec.MsgspecError):
        stored = read_ours(top, RECORD, limit=RECORD_BYTES)
        return Record() if stored is None else msgspec.json.decode(stored, type=Record)
    return Record()


def remember(root: Path, record: Record) -> None:
    with opened_directory(root) as top:
        write_file(top, RECORD, msgspec.json.encode(record))
    failpoint_sync("layers.after_record")


def is_taken(root: Path, path: bytes) -> bool:
    """Something is there, or in the way: not if it is an empty directory."""
    try:
        with opened_directory(root) as top, opened_parent(top, path) as (parent, name):
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                return True
            with _directory(parent, name) as handle:
                return bool(os.listdir(handle))  # noqa: PTH208  # of a handle
    except FileNotFoundError:
        return False
    except (UnsafePath, PermissionError):
        return True


def stage_file(
    root: Path, path: bytes, content: bytes | bytearray | memoryview, mode: int
) -> Staged:
    staged = Staged(_beside(), path)
    with opened_directory(root) as top:
        _write(top, staged.name, content, mode)
    return staged


def stage_tree(root: Path, path: bytes) -> Staged:
    """An empty directory, to be filled with `add`."""
    staged = Staged(_beside(), path)
    with opened_directory(root) as top:
        os.mkdir(staged.name, 0o700, dir_fd=top)
    return staged


def add(
    root: Path,
    staged: Staged,
    file: LayerFile,
    content: bytes | bytearray | memoryview | None,
) -> None:
    """Without content it is a directory. Raises `UnsafePath` for a name that is none."""
    path = file.path.encode()
    with opened_directory(root) as top, _directory(top, staged.name) as tree:
        if content is None:
            make_directory(tree, path)
            return
        with opened_parent(tree, path, create=True) as (parent, name):
            _write(parent, name, content, 0o555 if file.executable else 0o444)


def publish(root: Path, staged: Staged, *, read_only: bool = False) -> None:
    """In place of whatever is there; links and files on the way to it go."""
    above = staged.path.rpartition(b"/")[0]
    with opened_directory(root) as top:
        if above:
            make_directory(top, above, replace=True)
        with opened_parent(top, staged.path, create=True) as (parent, name):
            before = os.fstat(parent)
            failpoint_sync("layers.before_swap")
            remove(parent, name)
            failpoint_sync("layers.between_swap")
            os.rename(staged.name, name, src_dir_fd=top, dst_dir_fd=parent)
            if read_only:
                # the session has changed nothing there: nothing is to be saved
                os.utime(parent, ns=(before.st_atime_ns, before.st_mtime_ns))
    failpoint_sync("layers.after_swap")
    if read_only:
        protect(root, staged.path)


def withdraw(root: Path, path: str) -> None:
    """A mount, wherever a rule or a manifest has none any more."""
    clean(root, CleanupRule(path=path))


def discard(root: Path) -> None:
    """What a process that died had made beside."""
    with opened_directory(root) as top:
        for found in os.listdir(top):  # noqa: PTH208  # of a handle
            name = os.fsencode(found)
            if name.startswith(STAGING_PREFIX):
                remove(top, name)


def clean(root: Path, rule: CleanupRule) -> None:
    path = relative(rule.path)
    with (
        opened_directory(root) as top,
        suppress(FileNotFoundError, NotADirectoryError, UnsafePath),
        opened_parent(top, path, ours=True) as (parent, name),
    ):
        if not rule.pattern:
            remove(parent, name)
            return
        mode = stat.S_IMODE(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
        with _directory(parent, name, ours=True) as handle:
            for found in _fitting(handle, rule.pattern):
                remove(handle, found)
                failpoint_sync("layers.between_removals")
            # a directory that was shut stays so
            os.fchmod(handle, mode)


def missing_paths(root: Path, required: list[str]) -> list[str]:
    """Those of the required paths (absolute, under /workspace) that are not there.

    A link on the way is not followed; a link at the end counts as being there.
    """
    with opened_directory(root) as top:
        return [path for path in required if not _is_there(top, path)]


def _is_there(top: int, path: str) -> bool:
    relative = path.rstrip("/").removeprefix(WORKSPACE)
    if not path.startswith(WORKSPACE):
        return False
    return not relative or (relative[0] == "/" and exists(top, os.fsencode(relative[1:])))


def protect(root: Path, path: bytes) -> None:
    """No write permission on it and on all that is in it; links are left as they are."""
    with (
        opened_directory(root) as top,
        suppress(FileNotFoundError, UnsafePath),
        opened_parent(top, path, ours=True) as (parent, name),
    ):
        for directory, inner in _deepest_first(parent, name):
            _take_write(directory, inner)
    failpoint_sync("layers.after_protect")


def _beside() -> bytes:
    return STAGING_PREFIX + str(new_id()).encode()


def _write(parent: int, name: bytes, content: bytes | bytearray | memoryview, mode: int) -> None:
    with os.fdopen(os.open(name, _NEW, 0o600, dir_fd=parent), "wb") as file:
        file.write(content)
        os.fchmod(file.fileno(), mode)


@contextmanager
def _directory(parent: int, name: bytes, *, ours: bool = False) -> Generator[int]:
    try:
        handle = opened_up(parent, name) if ours else os.open(name, DIRECTORY, dir_fd=parent)
    except OSError as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise UnsafePath(repr(name[:300])) from error
    try:
        yield handle
    finally:
        os.close(handle)


def _fitting(handle: int, pattern: str) -> Sequence[bytes]:
    return [
        os.fsencode(found) for found in os.listdir(handle) if fnmatch.fnmatchcase(found, pattern)
    ]


def _deepest_first(parent: int, name: bytes) -> Generator[tuple[int, bytes]]:
    """Each entry with the handle of its directory, what is in a directory before itself."""
    stack = [(os.dup(parent), [name])]
    try:
        while stack:
            handle, names = stack[-1]
            if not names:
                os.close(stack.pop()[0])
                if stack:
                    yield stack[-1][0], stack[-1][1].pop()
                continue
            inner = _entered(handle, names[-1]) if len(stack) < MAX_DEPTH else None
            if inner is None:
                yield handle, names.pop()
            else:
                stack.append(inner)
    finally:
        for handle, _ in stack:
            os.close(handle)


def _entered(parent: int, name: bytes) -> tuple[int, list[bytes]] | None:
    """None for what is no directory, or cannot be looked into."""
    try:
        handle = os.open(name, DIRECTORY, dir_fd=parent)
    except OSError:
        return None
    return handle, [os.fsencode(found) for found in os.listdir(handle)]  # noqa: PTH208  # of a handle


def _take_write(parent: int, name: bytes) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(name, flags, dir_fd=parent)
    except OSError:
        # a link, or what nobody can read: there is nothing to be taken from it
        return
    try:
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & READ_ONLY:
            os.fchmod(handle, mode & ~READ_ONLY)
    finally:
        os.close(handle)
