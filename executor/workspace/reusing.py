"""What of a tree that is already there can be taken over into the one that is restored.

Only what the index vouches for: the same path, the same content, and a file that still looks as it
did when that content was in it. Anything else is fetched.
"""

import os
from contextlib import suppress
from pathlib import Path

from executor.workspace.beneath import opened_parent
from executor.workspace.errors import SaveFailed, UnsafePath
from executor.workspace.former import Former
from executor.workspace.index import IndexReader
from executor.workspace.parents import Parents
from executor.workspace.scan import walk
from snapshots.model import Item


class Reusable:
    """Asked in the order of paths. Without an index nothing is."""

    def __init__(self, top: int | None, reader: IndexReader | None, *, believes: bool) -> None:
        self._top = top
        self._former = Former(reader, quiet_only=True, believes=believes)

    def has(self, item: Item) -> bool:
        if self._top is None:
            return False
        entry = self._former.at(item.path)
        if entry is None or not item.parts or not entry.item.same_content(item):
            return False
        try:
            with opened_parent(self._top, item.path, ours=True) as (parent, name):
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except (OSError, UnsafePath):
            return False
        # one that has other names would go on sharing its content with them
        return status.st_nlink == 1 and self._former.holds(entry, status)


NOTHING = Reusable(None, None, believes=False)


def ignored_in(root: Path, *, max_items: int) -> list[bytes]:
    """What the tree's rules leave out of snapshots: none could bring it back."""
    ignored: list[bytes] = []
    with suppress(SaveFailed):  # beyond the limit
        for _ in walk(root, max_items=max_items, skipped=[], ignored=ignored.append):
            pass
    return ignored


def move_ignored(top: int, staging: int, ignored: list[bytes]) -> None:
    """To where it stood, as far as the restored tree has that place."""
    with Parents(staging) as parents:
        for path in ignored:
            try:
                parent, name = parents.of(path)
            except (OSError, UnsafePath):
                continue
            if _is_free(parent, name):
                with opened_parent(top, path, ours=True) as (above, former):
                    os.rename(former, name, src_dir_fd=above, dst_dir_fd=parent)


def _is_free(parent: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return True
    return False
