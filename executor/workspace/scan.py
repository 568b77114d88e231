"""Walks a workspace by directory handles: what is there, never what a link leads to.

The walk is iterative and keeps one handle per level. Something that goes away while it is looked at
was not there; sockets, FIFOs and devices are named as skipped.

What the agent remembers is read before the files that it remembers writing, so that a walk beside a
working agent finds no file older than the memory of it (ADR 0012).
"""

import errno
import os
import stat
from collections.abc import Generator
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from executor.workspace.beneath import DIRECTORY, open_locked
from executor.workspace.errors import SaveFailed
from executor.workspace.manifest import Kind, Skipped

STAGING_PREFIX = b".berth-restore-"
MEMORY = b".berth"
"""Whether the agent was prompted, then its own state: in this order, and before all else."""
_FIRST = frozenset({MEMORY + b"/session.json"})
MOUNT_OWN = b"lost+found"
"""A file system's own directory at its top: not content, and not ours to remove."""
MAX_DEPTH = 512
"""Levels, each of which holds a handle."""

_SPECIAL = {
    stat.S_IFSOCK: "socket",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


REFUSED = frozenset(
    {errno.EACCES, errno.EPERM, errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EINVAL}
)
"""Somebody else's, or another kind by now: left out, and named. Any other error (a disk's, too many
open files) is none of the tree's doing: a save without what cannot be read then would lose it."""

_ENTER = 0o500


class Found(msgspec.Struct, frozen=True):
    """`parent` is open until the walk goes on."""

    path: bytes
    name: bytes
    parent: int
    kind: Kind
    status: os.stat_result


class _Level(msgspec.Struct):
    path: bytes
    handle: int
    names: list[bytes]
    mode: int
    """To be given back."""
    rest: bool = False
    """Its other names are read when these are done."""


def walk(root: Path, *, max_items: int, skipped: list[Skipped]) -> Generator[Found, None, None]:
    """In a fixed order, directories before what is in them. Raises `SaveFailed`, `OSError`."""
    walker = _Walk(max_items=max_items, skipped=skipped)
    with ExitStack() as cleanup:
        cleanup.callback(walker.close)
        walker.enter(open_directory(None, os.fsencode(root)), b"")
        while (found := walker.following()) is not None:
            yield found
            if found.kind is Kind.DIRECTORY:
                walker.descend(found)


class _Walk:
    def __init__(self, *, max_items: int, skipped: list[Skipped]) -> None:
        self._levels: list[_Level] = []
        self._left = max_items
        self._skipped = skipped

    def enter(self, handle: int, path: bytes) -> None:
        # looking at what is in it needs its permission for as long as that takes
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & _ENTER != _ENTER:
            with suppress(PermissionError):
                os.fchmod(handle, mode | _ENTER)
        top = not path
        names = [MEMORY] if top else _names(handle, path)
        self._levels.append(_Level(path, handle, names, mode, rest=top))

    def descend(self, found: Found) -> None:
        if len(self._levels) >= MAX_DEPTH:
            self._skipped.append(Skipped(found.path, "too_deep"))
            return
        try:
            handle = open_directory(found.parent, found.name)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            # it became a link or a file in this moment: seen as an empty directory
            self._skipped.append(Skipped(found.path, os.strerror(error.errno or 0)))
            return
        self.enter(handle, found.path)

    def following(self) -> Found | None:
        while self._levels:
            level = self._levels[-1]
            if not level.names:
                if level.rest:
                    level.names, level.rest = _top_names(level.handle), False
                else:
                    self._leave(self._levels.pop())
                continue
            found = self._look(level, level.names.pop())
            if found is not None:
                return found
        return None

    def close(self) -> None:
        while self._levels:
            self._leave(self._levels.pop())

    @staticmethod
    def _leave(level: _Level) -> None:
        try:
            if level.mode & _ENTER != _ENTER:
                with suppress(PermissionError):
                    os.fchmod(level.handle, level.mode)
        finally:
            os.close(level.handle)

    def _look(self, level: _Level, name: bytes) -> Found | None:
        path = level.path + b"/" + name if level.path else name
        try:
            status = os.stat(name, dir_fd=level.handle, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            self._skipped.append(Skipped(path, os.strerror(error.errno or 0)))
            return None
        self._left -= 1
        if self._left < 0:
            raise SaveFailed("too_many_entries")
        kind = _kind(status.st_mode)
        if kind is None:
            special = _SPECIAL.get(stat.S_IFMT(status.st_mode), "unknown")
            self._skipped.append(Skipped(path, special))
            return None
        return Found(path, name, level.handle, kind, status)


def _names(handle: int, path: bytes) -> list[bytes]:
    """The last is the next to be looked at."""

    def place(name: bytes) -> tuple[bool, bytes]:
        return path + b"/" + name not in _FIRST, name

    return sorted(map(os.fsencode, os.listdir(handle)), key=place, reverse=True)


def _top_names(handle: int) -> list[bytes]:
    names = _names(handle, b"")
    return [
        name
        for name in names
        if name != MEMORY and not name.startswith(STAGING_PREFIX) and not _of_mount(handle, name)
    ]


def _of_mount(handle: int, name: bytes) -> bool:
    """A file system's own directory at its top, which is nobody's content."""
    if name != MOUNT_OWN:
        return False
    try:
        found = os.stat(name, dir_fd=handle, follow_symlinks=False)
    except FileNotFoundError:
        return True
    return found.st_uid != os.fstat(handle).st_uid


def open_directory(parent: int | None, name: bytes) -> int:
    try:
        return os.open(name, DIRECTORY, dir_fd=parent)
    except PermissionError:
        return open_locked(parent, name, DIRECTORY, _ENTER)


def open_file(parent: int, name: bytes) -> int:
    """Never blocks on what became a FIFO, never follows what became a link."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=parent)
    except PermissionError:
        return open_locked(parent, name, flags, 0o400)


def _kind(mode: int) -> Kind | None:
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    return Kind.LINK if stat.S_ISLNK(mode) else None
