"""What is in a directory, a page at a time."""

import os
from pathlib import Path

from chassis.files.cursors import after, cursor_of
from chassis.files.sensitive import Sensitive
from contracts.workspace_files import OPERATION_SECONDS, WorkspaceEntry, WorkspaceTree
from executor.files.opening import A_DIRECTORY, Deadline, entry_of, explained, plain
from executor.files.walking import Found, walked


def listed(
    root: Path, path: bytes, *, depth: int, limit: int, cursor: str | None, withheld: Sensitive
) -> WorkspaceTree:
    """Raises `BerthError`."""
    plain(path, empty=True)
    scope = f"tree {path!r} {depth}"
    behind = after(scope, cursor)
    items: list[WorkspaceEntry] = []
    last = b""
    with explained(path, expected=A_DIRECTORY):
        deadline = Deadline(OPERATION_SECONDS)
        for found in walked(root, path, deadline=deadline, depth=depth, after=behind):
            if len(items) == limit:
                return WorkspaceTree(items=items, next_cursor=cursor_of(scope, last))
            items.append(told(found, withheld))
            last = found.path
    return WorkspaceTree(items=items)


def told(found: Found, withheld: Sensitive) -> WorkspaceEntry:
    target = b""
    if found.is_link:
        try:
            target = os.readlink(found.name, dir_fd=found.parent)
        except OSError:
            target = b""  # it went away, or is a link no more
    return entry_of(found.path, found.status, withheld=withheld, target=target)
