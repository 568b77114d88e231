"""Files with several names, within one walk: the first of them has the content."""

import os
from pathlib import Path
from typing import NamedTuple

from executor.workspace.beneath import opened_directory, opened_parent
from executor.workspace.errors import UnsafePath


class _First(NamedTuple):
    path: bytes
    size: int
    mtime_ns: int


class Twins:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._first: dict[tuple[int, int], _First] = {}

    def note(self, path: bytes, status: os.stat_result) -> None:
        """The content of this one was read, or is known."""
        if status.st_nlink > 1:
            found = _First(path, status.st_size, status.st_mtime_ns)
            self._first[status.st_dev, status.st_ino] = found

    def first_of(self, status: os.stat_result) -> bytes | None:
        """The path that came before for the same file."""
        if status.st_nlink < 2:
            return None
        first = self._first.get((status.st_dev, status.st_ino))
        if first is None:
            return None
        if (first.size, first.mtime_ns) != (status.st_size, status.st_mtime_ns) and not (
            self._stands(first.path, status)
        ):
            # that file is gone, and its inode was given to another one
            return None
        return first.path

    def _stands(self, path: bytes, status: os.stat_result) -> bool:
        try:
            with (
                opened_directory(self._root) as top,
                opened_parent(top, path) as (parent, name),
            ):
                found = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except (OSError, UnsafePath):
            return False
        return (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino)
