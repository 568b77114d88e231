"""Trees that come into a session's workspace from outside, and go out of it: plain tars."""

import enum
from uuid import UUID

from contracts.wire import Wire

MEDIA_TYPE = "application/x-tar"
MOST_ENTRIES = 1_000_000
WITHHELD_HEADER = "Berth-Withheld"
"""How many entries were left out, since their names need a permission that the caller lacks."""
SNAPSHOT_HEADER = "Berth-Snapshot"
FILES_HEADER, BYTES_HEADER = "Berth-Files", "Berth-Bytes"
"""How much is coming: files and links, and the bytes of their contents."""


class ImportedTree(Wire, frozen=True, kw_only=True):
    session_id: UUID
    snapshot_id: UUID
    """The session's head now: its next worker begins with it."""
    former_head: UUID | None = None
    files: int
    bytes: int
    new_bytes: int
    """As stored."""


class Side(enum.StrEnum):
    AFTER = "after"
    """What was added or changed, as it is now."""
    BEFORE = "before"
    """What was removed or changed, as it was."""
