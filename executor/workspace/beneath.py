"""Opening what lies beneath a directory, one component at a time, never through a link.

Everything that a session's agent could have prepared is opened this way: a path is checked by
walking it, not by resolving it first. What is ours in there (`ours`, and all that is made) is given
back its permissions, should the agent have taken them: it may shut out itself, not the session.
"""

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

from executor.workspace.errors import UnsafePath

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
NAME_BYTES = 255
OWNED = 0o700


def parts_of(path: bytes) -> list[bytes]:
    """Raises `UnsafePath` for what is not a plain relative path."""
    parts = path.split(b"/")
    for part in parts:
        if part in {b"", b".", b".."} or b"\0" in part or len(part) > NAME_BYTES:
            raise UnsafePath(repr(path[:300]))
    return parts


@contextmanager
def opened_directory(path: Path) -> Generator[int]:
    """The top of a tree that is the agent's as a whole: opened though it was closed."""
    try:
        descriptor = os.open(path, DIRECTORY)
    except PermissionError:
        descriptor = open_locked(None, os.fsencode(path), DIRECTORY, OWNED, stays=True)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def opened_parent(
    root: int, path: bytes, *, create: bool = False, ours: bool = False
) -> Generator[tuple[int, bytes]]:
    """The directory that holds `path`, and the last part. Raises `UnsafePath`, `OSError`."""
    *above, name = parts_of(path)
    current = os.dup(root)
    try:
        if create or ours:
            open_up(current)
        for part in above:
            following = _step(current, part, create=create, ours=create or ours)
            os.close(current)
            current = following
        yield current, name
    finally:
        os.close(current)


def exists(root: int, path: bytes) -> bool:
    """Whether something is there that is reached without following any link."""
    try:
        with opened_parent(root, path) as (parent, name):
            os.stat(name, dir_fd=parent, follow_symlinks=False)
    except (FileNotFoundError, PermissionError, UnsafePath):
        return False
    return True


def read_ours(root: int, path: bytes, *, limit: int) -> bytes | None:
    """A file that we wrote: None if it is not there. Raises `UnsafePath` for what is none."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with opened_parent(root, path, ours=True) as (parent, name):
            try:
                descriptor = os.open(name, flags, dir_fd=parent)
            except PermissionError:
                descriptor = open_locked(parent, name, flags, 0o600, stays=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENXIO}:
            raise UnsafePath(repr(path)) from error
        raise
    with os.fdopen(descriptor, "rb") as file:
        return file.read(limit)


def write_file(root: int, path: bytes, content: bytes) -> None:
    """Makes the directories above it; the file has its former or its new content."""
    with opened_parent(root, path, create=True) as (parent, name):
        beside = b".new-" + name
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        remove(parent, beside)
        with os.fdopen(os.open(beside, flags, 0o600, dir_fd=parent), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, name, src_dir_fd=parent, dst_dir_fd=parent)


def make_directory(root: int, path: bytes, *, replace: bool = False) -> None:
    """It and those above it. What is a link or a file in the way raises `UnsafePath`, or goes."""
    current = os.dup(root)
    try:
        open_up(current)
        for part in parts_of(path):
            try:
                following = _step(current, part, create=True, ours=True)
            except UnsafePath:
                if not replace:
                    raise
                os.unlink(part, dir_fd=current)
                following = _step(current, part, create=True, ours=True)
            os.close(current)
            current = following
    finally:
        os.close(current)


def open_locked(
    parent: int | None, name: bytes, flags: int, needed: int, *, stays: bool = False
) -> int:
    """What is without permissions belongs to the session all the same: opened up for a moment, or
    for good if it `stays` so.

    By a handle that cannot read (O_PATH), so that no link can come in between.
    """
    handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        mode = os.fstat(handle).st_mode
        if stat.S_ISLNK(mode):
            raise FileNotFoundError(name)
        through = Path(f"/proc/self/fd/{handle}")
        through.chmod(stat.S_IMODE(mode) | needed)
        try:
            # the link in /proc is the way to this very file: following it is the point
            return os.open(through, flags & ~os.O_NOFOLLOW)
        finally:
            if not stays:
                through.chmod(stat.S_IMODE(mode))
    finally:
        os.close(handle)


def open_up(directory: int) -> None:
    """So that its owner may do everything in it, as far as it is ours to say."""
    mode = stat.S_IMODE(os.fstat(directory).st_mode)
    if mode & OWNED != OWNED:
        with suppress(PermissionError):
            os.fchmod(directory, mode | OWNED)


def opened_up(parent: int, name: bytes) -> int:
    """A handle of the directory, of which its owner may do everything. Raises `OSError`, for a link
    too.
    """
    try:
        handle = os.open(name, DIRECTORY, dir_fd=parent)
    except PermissionError:
        return open_locked(parent, name, DIRECTORY, OWNED, stays=True)
    open_up(handle)
    return handle


def remove(parent: int, name: bytes) -> None:
    """The file, link or whole tree, if it is there; directories without permission too."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError):
        _remove_tree(parent, name)


def _remove_tree(parent: int, name: bytes) -> None:
    """Each directory is read once, whatever is in it, and at most two are open, however deep it
    goes: those within are moved up to the top one before it is their turn.
    """
    top = opened_up(parent, name)
    try:
        waiting = _emptied(top, top)
        while waiting:
            inner = waiting.pop()
            current = opened_up(top, inner)
            try:
                waiting += _emptied(current, top)
            finally:
                os.close(current)
            os.rmdir(inner, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


def _emptied(current: int, top: int) -> list[bytes]:
    """Removes what is no directory in it; the directories are in `top` then, under these names."""
    moved: list[bytes] = []
    for found in os.listdir(current):  # relative to a handle
        inner = os.fsencode(found)
        try:
            os.unlink(inner, dir_fd=current)
        except FileNotFoundError:
            continue
        except (IsADirectoryError, PermissionError):
            if current != top:
                inner = _moved_up(current, inner, top)
            moved.append(inner)
    return moved


def _moved_up(current: int, name: bytes, top: int) -> bytes:
    # what moves to another directory has its `..` written
    os.close(opened_up(current, name))
    new = b".removed-" + token_hex(8).encode()
    os.rename(name, new, src_dir_fd=current, dst_dir_fd=top)
    return new


def _step(current: int, part: bytes, *, create: bool, ours: bool) -> int:
    try:
        return _stepped(current, part, ours=ours)
    except FileNotFoundError:
        if not create:
            raise
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            raise UnsafePath(repr(part)) from error
        raise
    with suppress(FileExistsError):
        # another thread of ours may make it in this very moment
        os.mkdir(part, OWNED, dir_fd=current)
    return _step(current, part, create=False, ours=ours)


def _stepped(current: int, part: bytes, *, ours: bool) -> int:
    # what may be listed may still not be entered, or written
    return opened_up(current, part) if ours else os.open(part, DIRECTORY, dir_fd=current)
