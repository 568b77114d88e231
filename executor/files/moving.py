"""Renames, makes and deletes what is in the workspace."""

import ctypes
import errno
import os
import stat
from pathlib import Path
from secrets import token_hex

from chassis.errors import Stale
from chassis.files.names import for_people, wrong
from chassis.files.sensitive import NOTHING, Sensitive
from contracts.errors import Code
from contracts.workspace_files import OPERATION_SECONDS, WorkspaceEntry
from executor.files.opening import (
    A_DIRECTORY,
    STAGED,
    Deadline,
    directory_at,
    entry_of,
    explained,
    parent_of,
    require_open,
)
from executor.files.walking import walked
from executor.files.writing import Conditions
from executor.workspace.beneath import opened_directory, remove

NO_REPLACE = 1
"""Of `renameat2(2)`, which Python does not have."""
_libc = ctypes.CDLL(None, use_errno=True)


def renamed(root: Path, source: bytes, target: bytes, *, overwrite: bool) -> WorkspaceEntry:
    """Raises `BerthError`, `conflict` where something is at `target` and may not be replaced."""
    if target == source or target.startswith(source + b"/"):
        raise wrong("to", "a path that is not within `from`", target)
    with (
        explained(source, field="from", expected="a path without links on its way"),
        parent_of(root, source) as (above, name),
    ):
        os.stat(name, dir_fd=above, follow_symlinks=False)
        with (
            explained(target, field="to", expected="a path without links on its way"),
            parent_of(root, target) as (beneath, new),
        ):
            if overwrite:
                os.rename(name, new, src_dir_fd=above, dst_dir_fd=beneath)
            else:
                _rename_to_nothing(above, name, beneath, new)
            found = os.stat(new, dir_fd=beneath, follow_symlinks=False)
    return entry_of(target, found, withheld=NOTHING)


def _rename_to_nothing(above: int, name: bytes, beneath: int, new: bytes) -> None:
    try:
        done = _libc.renameat2(above, name, beneath, new, NO_REPLACE)
    except AttributeError:
        done, number = -1, errno.ENOSYS
    else:
        number = ctypes.get_errno()
    if done == 0:
        return
    if number not in {errno.ENOSYS, errno.EINVAL}:
        raise OSError(number, os.strerror(number))
    # a kernel or file system without it: looked at just before
    try:
        os.stat(new, dir_fd=beneath, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(name, new, src_dir_fd=above, dst_dir_fd=beneath)
    else:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def made_directory(root: Path, path: bytes, *, parents: bool) -> WorkspaceEntry:
    """Raises `BerthError`."""
    with explained(path, expected=A_DIRECTORY):
        if parents:
            with directory_at(root, path, create=True) as made:
                found = os.fstat(made)
        else:
            with parent_of(root, path) as (above, name):
                os.mkdir(name, 0o755, dir_fd=above)
                found = os.stat(name, dir_fd=above, follow_symlinks=False)
    return entry_of(path, found, withheld=NOTHING)


def deleted(
    root: Path, path: bytes, *, recursive: bool, match: str, withheld: Sensitive
) -> bytes | None:
    """At once gone from where it was; a tree is aside then, for `removed_aside`. Raises
    `BerthError`.
    """
    with explained(path, expected="a path without links on its way"):
        with parent_of(root, path) as (above, name):
            found = os.stat(name, dir_fd=above, follow_symlinks=False)
        Conditions(match).check(path, found)
        if not stat.S_ISDIR(found.st_mode):
            with parent_of(root, path) as (above, name):
                os.unlink(name, dir_fd=above)
        elif recursive:
            _require_all_open(root, path, withheld)
            return _put_aside(root, path)
        else:
            with parent_of(root, path) as (above, name):
                os.rmdir(name, dir_fd=above)
    return None


def removed_aside(root: Path, aside: bytes) -> None:
    """Raises `BerthError`."""
    with explained(aside), opened_directory(root) as top:
        remove(top, aside)


def _require_all_open(root: Path, path: bytes, withheld: Sensitive) -> None:
    if not withheld.patterns:
        return
    for found in walked(root, path, deadline=Deadline(OPERATION_SECONDS)):
        require_open(found.path, withheld)


def _put_aside(root: Path, path: bytes) -> bytes:
    """Nobody sees half of it, and a crash leaves it to no snapshot."""
    aside = STAGED + token_hex(8).encode()
    with opened_directory(root) as top, parent_of(root, path) as (above, name):
        os.rename(name, aside, src_dir_fd=above, dst_dir_fd=top)
    return aside


def sweep(root: Path) -> None:
    """What was being written when an executor died here."""
    with opened_directory(root) as top:
        for name in os.listdir(top):  # noqa: PTH208  # of a handle
            if os.fsencode(name).startswith(STAGED):
                try:
                    remove(top, os.fsencode(name))
                except OSError as error:
                    named = for_people(os.fsencode(name))
                    raise Stale(Code.CONFLICT, f"{named} cannot be removed") from error
