"""Files of a session's workspace, read and changed beside its agent, or read from its snapshot.

`session-workers/{session_id}/workspace/…`. A path is relative to the workspace, `/` between its
parts; empty is the workspace itself. A name need not be UTF-8: such a path is told with its bytes
percent-escaped and `escaped: true`, and is given back the same way.
"""

import enum
from typing import Annotated, Literal

import msgspec

from contracts.wire import Body, Wire

Operation = Literal["tree", "file", "upload", "rename", "mkdir", "download", "search"]

EXECUTOR_WORKSPACE = "/workspace/"
"""Of an executor, an `Operation` behind it."""

MANAGER_WORKSPACE = "/internal/v1/workers/{worker_id}/workspace/{operation}"
"""Of a manager, with a ticket for `workspace.read` or `workspace.write` in `TICKET_HEADER`."""

READS = {("GET", "tree"), ("GET", "file"), ("GET", "download"), ("GET", "search")}
WRITES = {
    ("PUT", "file"),
    ("DELETE", "file"),
    ("POST", "upload"),
    ("POST", "rename"),
    ("POST", "mkdir"),
}
"""Methods and operations; their parameters are in the query, on the way to a worker all of them."""

OF_NAMES = frozenset({"tree", "search"})
"""Operations that anybody who reads a session may ask of a sensitive directory: names are told, and
whatever gives them withholds the content by itself."""

SOURCE_HEADER = "Berth-Workspace"
"""`live`, or `snapshot` where no worker runs."""
LIVE, SNAPSHOT = "live", "snapshot"

SNAPSHOT_HEADER = "Berth-Snapshot"
"""Which one."""

WITHHELD_HEADER = "berth-withheld"
"""From a manager to its executor: patterns of names that the caller may not open, each quoted as in
a URL, with commas between them. What comes from outside is never passed on."""

PATH_BYTES = 4096
MOST_DEPTH = 64
MOST_ITEMS = 200
MOST_FILE_BYTES = 4 * 1024 * 1024 * 1024
"""Of one file that is written, or of one upload, unpacked; a gateway's limit is usually lower."""
MOST_READ_BYTES = 16 * 1024 * 1024 * 1024
"""Of one file in one answer: more is asked for in ranges."""
MOST_UNPACKED = 200_000
"""Entries of an uploaded tree."""
MOST_ARCHIVED_BYTES = 16 * 1024 * 1024 * 1024
MOST_ARCHIVED = 200_000
"""Of a directory that is downloaded: its archive's list is made in memory."""
SEARCHED_BYTES = 16 * 1024 * 1024
"""Of a file: what lies behind is not searched."""
MOST_LINES = 20
"""Of one file that are told."""
LINE_CHARACTERS = 300
PATTERN_CHARACTERS = 256
OPERATION_SECONDS = 30.0
"""For everything that moves no content."""
SEARCH_SECONDS = 8.0
"""Then a page of results ends, and says where to go on."""
TRANSFER_SECONDS = 3600.0
"""For a whole upload or download."""

Path = Annotated[str, msgspec.Meta(max_length=3 * PATH_BYTES)]


class EntryKind(enum.StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    LINK = "link"
    """Symbolic; nothing follows it."""
    OTHER = "other"
    """A socket, FIFO or device: it is never opened."""


class WorkspaceEntry(Wire, frozen=True, kw_only=True):
    path: str
    name: str
    escaped: bool = False
    """Path and name are percent-escaped bytes."""
    kind: EntryKind
    size: int
    mode: int
    """Permissions."""
    mtime: float
    """Seconds since the epoch."""
    etag: str = ""
    """Of a file: for `If-Match` and `If-None-Match`."""
    target: str = ""
    """Of a link: where it points, for people."""
    withheld: bool = False
    """Its content needs a permission that the caller lacks."""


class WorkspaceTree(Wire, frozen=True, kw_only=True):
    """A page, directories before what is in them."""

    items: list[WorkspaceEntry]
    next_cursor: str | None = None


class FoundLine(Wire, frozen=True, kw_only=True):
    number: int
    """From 1."""
    text: str
    """Around what was found, if the line is long."""


class FoundFile(Wire, frozen=True, kw_only=True):
    entry: WorkspaceEntry
    lines: list[FoundLine] = msgspec.field(default_factory=list[FoundLine])
    """Of a search by content."""
    more_lines: bool = False


class WorkspaceMatches(Wire, frozen=True, kw_only=True):
    """A page; one may be empty and have another behind it, when its time was over."""

    items: list[FoundFile]
    withheld: list[str] = msgspec.field(default_factory=list[str])
    """Paths that were not searched, for the caller may not open them; some of them, if many."""
    next_cursor: str | None = None


class WrittenFile(Wire, frozen=True, kw_only=True):
    entry: WorkspaceEntry
    created: bool


class UploadedFiles(Wire, frozen=True, kw_only=True):
    """`items` of files that were sent one by one; the counts of a tree."""

    items: list[WorkspaceEntry] = msgspec.field(default_factory=list[WorkspaceEntry])
    files: int = 0
    directories: int = 0
    links: int = 0
    bytes: int = 0


class RenamePath(Body, frozen=True, kw_only=True):
    from_: Annotated[Path, msgspec.Meta(min_length=1)] = msgspec.field(name="from")
    to: Annotated[Path, msgspec.Meta(min_length=1)]
    escaped: bool = False
    """Both are percent-escaped."""
    overwrite: bool = False
    """A file may be replaced."""


class MakeDirectory(Body, frozen=True, kw_only=True):
    path: Annotated[Path, msgspec.Meta(min_length=1)]
    escaped: bool = False
    parents: bool = False
    """Those above it too; then it may be there already."""


class DeletedPath(Wire, frozen=True, kw_only=True):
    path: str
    escaped: bool = False
