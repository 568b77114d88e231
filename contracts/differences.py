"""What two snapshots of a session differ in."""

import enum
from uuid import UUID

from contracts.runs import Page
from contracts.wire import Wire

NOTHING = "nothing"
"""In place of a snapshot's id: an empty tree."""


class ChangeKind(enum.StrEnum):
    ADDED = "added"
    CHANGED = "changed"
    """Its content, its kind, what it links to, or its permissions. Times alone are no change."""
    REMOVED = "removed"


class TreeKind(enum.StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    """Symbolic."""
    HARD_LINK = "hard_link"


class ChangedSide(Wire, frozen=True, kw_only=True):
    """How it is on one side."""

    kind: TreeKind
    size: int
    mode: int
    """Permissions."""


class ChangedPath(Wire, frozen=True, kw_only=True):
    path: str
    escaped: bool = False
    """The path is percent-escaped bytes: it is no UTF-8."""
    change: ChangeKind
    before: ChangedSide | None = None
    after: ChangedSide | None = None


class DifferencePage(Page, frozen=True, kw_only=True):
    """In the order of paths. A page of large trees may have few items, or none, and another one
    behind it.
    """

    before: UUID | None
    """None: nothing."""
    after: UUID | None
    items: list[ChangedPath]


class TextDifference(Wire, frozen=True, kw_only=True):
    """One path, as `diff -u` would have it."""

    path: str
    escaped: bool = False
    change: ChangeKind | None
    """None: both sides are alike."""
    before: ChangedSide | None = None
    after: ChangedSide | None = None
    text: str | None = None
    """Unified; None where there is no text to compare: see `why`."""
    why: str = ""
    """`binary`, `too_large`, `too_different`, or `no_content` of directories."""
