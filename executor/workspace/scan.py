"""Walks a workspace by directory handles: what is there, never what a link leads to.

The walk is iterative and keeps one handle per level. Something that goes away while it is looked at
was not there; sockets, FIFOs and devices are named as skipped.

What the agent remembers is read before the files that it remembers writing, so that a walk beside a
working agent finds no file older than the memory of it (ADR 0012).
"""

import errno
import os
import stat
from collections.abc import Callable, Generator
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec

from chassis.files.ignoring import RULES, Rules, rules_in
from executor.workspace.beneath import DIRECTORY, open_locked
from executor.workspace.errors import SaveFailed
from snapshots.model import Kind, Skipped
from snapshots.paths import MEMORY, PATH_BYTES, REMEMBERED

STAGING_PREFIX = b".berth-restore-"
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
MOST_SKIPPED = 10_000
"""That are named."""


def skip(skipped: list[Skipped], path: bytes, reason: str) -> None:
    if len(skipped) < MOST_SKIPPED:
        skipped.append(Skipped(path, reason))
    elif len(skipped) == MOST_SKIPPED:
        skipped.append(Skipped(b"", "and others"))


def too_many(most: int) -> SaveFailed:
    what = f"more than {most} files, directories and links: remove some"
    return SaveFailed("too_many_entries", f"{what}, or leave some out with .berthignore")


def too_large(most: int) -> SaveFailed:
    what = f"more than {most} bytes in files: remove some"
    return SaveFailed("too_large", f"{what}, or leave some out with .berthignore")


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
    rules: Rules | None = None
    rest: bool = False
    """Its other names are read when these are done."""


def walk(
    root: Path,
    *,
    max_items: int,
    skipped: list[Skipped],
    ignored: Callable[[bytes], None] | None = None,
    apart: frozenset[bytes] = frozenset(),
) -> Generator[Found, None, None]:
    """In the order of `snapshots.paths.order`. With `ignored` the rules of the workspace hold, and
    it is told what they leave out. What stands at a path of `apart` is passed over.

    Raises `SaveFailed`, `OSError`.
    """
    walker = _Walk(max_items=max_items, skipped=skipped, ignored=ignored, apart=apart)
    with ExitStack() as cleanup:
        cleanup.callback(walker.close)
        walker.enter(open_directory(None, os.fsencode(root)), b"")
        while (found := walker.following()) is not None:
            yield found
            if found.kind is Kind.DIRECTORY:
                walker.descend(found)


class _Walk:
    def __init__(
        self,
        *,
        max_items: int,
        skipped: list[Skipped],
        ignored: Callable[[bytes], None] | None,
        apart: frozenset[bytes],
    ) -> None:
        self._levels: list[_Level] = []
        self._left = self._most = max_items
        self._skipped = skipped
        self._ignored = ignored
        self._apart = apart

    def enter(self, handle: int, path: bytes) -> None:
        # looking at what is in it needs its permission for as long as that takes
        mode = stat.S_IMODE(os.fstat(handle).st_mode)
        if mode & _ENTER != _ENTER:
            with suppress(PermissionError):
                os.fchmod(handle, mode | _ENTER)
        top = not path
        level = _Level(path, handle, [MEMORY], mode, self._rules(), rest=top)
        # from here on it is closed, and has its mode back, whatever happens
        self._levels.append(level)
        if not top:
            level.names = _names(handle, path)
            self._read_rules(level)

    def _rules(self) -> Rules | None:
        return self._levels[-1].rules if self._levels else None

    def _read_rules(self, level: _Level) -> None:
        """What the agents remember is nobody's to leave out."""
        in_memory = level.path == MEMORY or level.path.startswith(MEMORY + b"/")
        if self._ignored is not None and RULES in level.names and not in_memory:
            level.rules = rules_in(level.handle, level.path, level.rules)

    def descend(self, found: Found) -> None:
        if len(self._levels) >= MAX_DEPTH:
            skip(self._skipped, found.path, "too_deep")
            return
        try:
            handle = open_directory(found.parent, found.name)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno not in REFUSED:
                raise
            # it became a link or a file in this moment: seen as an empty directory
            skip(self._skipped, found.path, os.strerror(error.errno or 0))
            return
        self.enter(handle, found.path)

    def following(self) -> Found | None:
        while self._levels:
            level = self._levels[-1]
            if not level.names:
                if level.rest:
                    level.names, level.rest = self._top_names(level.handle), False
                    self._read_rules(level)
                else:
                    self._leave(self._levels.pop())
                continue
            found = self._look(level, level.names.pop())
            if found is not None:
                return found
        return None

    def _top_names(self, handle: int) -> list[bytes]:
        names: list[bytes] = []
        for name in _names(handle, b""):
            if name.startswith(STAGING_PREFIX):
                # what a restore that was cut off left there, or somebody's who took our name
                skip(self._skipped, name, "reserved")
            elif name != MEMORY and not _of_mount(handle, name):
                names.append(name)
        return names

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
        if len(path) > PATH_BYTES:
            skip(self._skipped, path[:PATH_BYTES], "too_deep")
            return None
        try:
            status = os.stat(name, dir_fd=level.handle, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except PermissionError as error:
            skip(self._skipped, path, os.strerror(error.errno or 0))
            return None
        self._left -= 1
        if self._left < 0:
            raise too_many(self._most)
        kind = _kind(status.st_mode)
        if kind is None:
            special = _SPECIAL.get(stat.S_IFMT(status.st_mode), "unknown")
            skip(self._skipped, path, special)
            return None
        if path in self._apart or self._is_ignored(level, path, kind):
            return None
        return Found(path, name, level.handle, kind, status)

    def _is_ignored(self, level: _Level, path: bytes, kind: Kind) -> bool:
        if level.rules is None or not level.rules.ignores(path, directory=kind is Kind.DIRECTORY):
            return False
        if self._ignored is not None:
            self._ignored(path)
        return True


def _names(handle: int, path: bytes) -> list[bytes]:
    """The last is the next to be looked at."""

    names = sorted(map(os.fsencode, os.listdir(handle)), reverse=True)
    if path == MEMORY and REMEMBERED in names:
        names.remove(REMEMBERED)
        names.append(REMEMBERED)
    return names


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
