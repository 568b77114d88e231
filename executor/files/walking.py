"""Walks a tree beneath the workspace: in the order of snapshots, from where a page before ended.

Two handles at a time, however deep it goes; what goes away meanwhile was not there.
"""

import errno
import os
import stat
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec

from executor.files.opening import Deadline
from executor.workspace.beneath import DIRECTORY, opened_directory
from executor.workspace.scan import STAGING_PREFIX
from snapshots.paths import MEMORY, REMEMBERED

EVERYTHING = 1_000_000
"""Levels."""


class Found(msgspec.Struct, frozen=True):
    """`parent` is open until the walk goes on."""

    path: bytes
    name: bytes
    parent: int
    status: os.stat_result

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.status.st_mode)

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.status.st_mode)

    @property
    def is_link(self) -> bool:
        return stat.S_ISLNK(self.status.st_mode)


class _Level(msgspec.Struct):
    path: bytes
    depth: int
    """Of what is in it."""
    resume: list[bytes]
    """What the page before ended with, beneath this level: its first part was told already."""
    names: list[bytes] | None = None
    """The last is the next. None: not read yet."""


def walked(
    root: Path,
    base: bytes,
    *,
    deadline: Deadline,
    depth: int = EVERYTHING,
    after: bytes | None = None,
    on_shut: Callable[[bytes], None] | None = None,
) -> Generator[Found]:
    """What is beneath `base`, at most `depth` levels of it, `after` left out and all before it.

    Raises `OSError` for `base` alone; `on_shut` is told of other directories that cannot be read.
    """
    with opened_directory(root) as top:
        walk = _Walk(top, depth=depth, on_shut=on_shut)
        try:
            walk.begin(base, _beneath(base, after))
            while (found := walk.following()) is not None:
                deadline.check()
                yield found
        finally:
            walk.close()


def _beneath(base: bytes, after: bytes | None) -> list[bytes]:
    if not after:
        return []
    inner = after.removeprefix(base + b"/") if base else after
    return inner.split(b"/")


class _Walk:
    def __init__(self, top: int, *, depth: int, on_shut: Callable[[bytes], None] | None) -> None:
        self._top = top
        self._depth = depth
        self._on_shut = on_shut
        self._levels: list[_Level] = []
        self._there: tuple[bytes, int] | None = None
        """The directory that is open."""

    def begin(self, base: bytes, resume: list[bytes]) -> None:
        """Raises `OSError`."""
        level = _Level(base, 1, resume)
        self._read(level)
        self._levels.append(level)

    def following(self) -> Found | None:
        while self._levels:
            level = self._levels[-1]
            names = self._names_of(level)
            if not names:
                self._levels.pop()
                continue
            name = names.pop()
            found = self._looked(level, name)
            if found is None:
                continue
            told = bool(level.resume) and name == level.resume[0]
            if found.is_directory and level.depth < self._depth:
                # read when it is its turn: `found.parent` stays open till then
                rest = level.resume[1:] if told else []
                self._levels.append(_Level(found.path, level.depth + 1, rest))
            if not told:
                return found
        return None

    def close(self) -> None:
        if self._there is not None:
            os.close(self._there[1])
            self._there = None

    def _looked(self, level: _Level, name: bytes) -> Found | None:
        try:
            parent = self._open(level.path)
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except OSError:
            return None
        path = level.path + b"/" + name if level.path else name
        return Found(path, name, parent, status)

    def _names_of(self, level: _Level) -> list[bytes]:
        if level.names is None:
            try:
                self._read(level)
            except OSError as error:
                if self._on_shut is not None and error.errno in {errno.EACCES, errno.EPERM}:
                    self._on_shut(level.path)
        return level.names or []

    def _read(self, level: _Level) -> None:
        names = _names(self._open(level.path), level.path)
        if level.resume:
            first = _place(level.path, level.resume[0])
            names = [name for name in names if _place(level.path, name) >= first]
        level.names = names

    def _open(self, path: bytes) -> int:
        """Raises `OSError`."""
        if self._there is not None and self._there[0] == path:
            return self._there[1]
        current = os.dup(self._top)
        try:
            for part in path.split(b"/") if path else []:
                following = os.open(part, DIRECTORY, dir_fd=current)
                os.close(current)
                current = following
        except OSError:
            os.close(current)
            raise
        self.close()
        self._there = (path, current)
        return current


def _names(handle: int, path: bytes) -> list[bytes]:
    found = [os.fsencode(name) for name in os.listdir(handle)]
    if not path:
        found = [name for name in found if not name.startswith(STAGING_PREFIX)]
    return sorted(found, key=lambda name: _place(path, name), reverse=True)


def _place(path: bytes, name: bytes) -> bytes:
    """As `snapshots.paths.order` has it."""
    first = (not path and name == MEMORY) or (path == MEMORY and name == REMEMBERED)
    return b"" if first else name
