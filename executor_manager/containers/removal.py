"""Deletes a tree that somebody hostile filled, when nothing of theirs runs any more.

Never by path and never through a link: each directory is opened in the one that holds it.
Directories found inside are first moved up beside the root, so a tree of any depth needs a handful
of descriptors and no recursion; what was interrupted goes on where it was. Names are taken as they
come: nobody knows how many there are.
"""

import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from executor_manager.containers.errors import BackendError, Timeout

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
CHECK_EVERY = 256


def remove_all(trash: Path, *, deadline: float) -> None:
    """Empties `trash`, within `deadline` seconds. Raises `Timeout`: call again; `BackendError`."""
    ends = time.monotonic() + deadline
    try:
        root = os.open(trash, _OPEN)
    except FileNotFoundError:
        return
    try:
        while _remove_each(root, ends):
            continue
    except OSError as error:
        raise BackendError(f"cannot delete below {trash}: {error.strerror}") from error
    finally:
        os.close(root)


def _remove_each(root: int, ends: float) -> bool:
    """Whether there was any."""
    found = False
    for name in _names(root):
        found = True
        _remove(root, name, ends)
    return found


def _remove(root: int, name: str, ends: float) -> None:
    if not _is_directory(root, name):
        os.unlink(name, dir_fd=root)
        return
    _make_enterable(root, name)
    directory = os.open(name, _OPEN, dir_fd=root)
    try:
        while _take_each_out(directory, root, ends):
            continue
    finally:
        os.close(directory)
    os.rmdir(name, dir_fd=root)


def _take_each_out(directory: int, root: int, ends: float) -> bool:
    """Whether there was any."""
    found = False
    for count, child in enumerate(_names(directory)):
        found = True
        if count % CHECK_EVERY == 0 and time.monotonic() > ends:
            raise Timeout("deleting takes longer than its deadline; it will go on")
        _take_out(directory, child, root)
    return found


def _take_out(directory: int, child: str, root: int) -> None:
    if not _is_directory(directory, child):
        os.unlink(child, dir_fd=directory)
        return
    # moving a directory changes its "..", for which its owner needs to be allowed to write it
    _make_enterable(directory, child)
    beside = f"{os.stat(child, dir_fd=directory).st_ino:x}"
    os.rename(child, beside, src_dir_fd=directory, dst_dir_fd=root)


def _names(directory: int) -> Iterator[str]:
    with os.scandir(directory) as found:  # by descriptor, not by path
        for entry in found:
            yield entry.name


def _is_directory(parent: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)


def _make_enterable(parent: int, name: str) -> None:
    if os.geteuid() != 0:
        # Linux cannot change a mode without following; nothing of the session runs any more, and
        # what it could have pointed to belongs to the same user
        os.chmod(name, 0o700, dir_fd=parent)
