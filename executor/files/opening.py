"""Opening what a person named: part by part, never through a link, whatever the agent does there.

Permissions that the agent has taken away hold here: it is its workspace.
"""

import errno
import os
import stat
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from chassis.errors import BerthError, NotFound, Stale
from chassis.files.names import checked, for_people, shown, wrong
from chassis.files.sensitive import Sensitive
from contracts.errors import Code
from contracts.workspace_files import PATH_BYTES, EntryKind, WorkspaceEntry
from executor.workspace.beneath import DIRECTORY, opened_directory
from executor.workspace.errors import is_full
from executor.workspace.scan import STAGING_PREFIX

FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
STAGED = STAGING_PREFIX + b"files-"
"""What is being written, at the workspace's top: saved by nobody, shown to nobody."""

A_FILE = "the path of a plain file, no link"
A_DIRECTORY = "the path of a directory, no link"


class Deadline:
    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    @property
    def over(self) -> bool:
        return time.monotonic() > self._until

    def check(self, detail: str = "the workspace's disk did not answer in time") -> None:
        """Raises `upstream_timeout`."""
        if self.over:
            raise BerthError(Code.UPSTREAM_TIMEOUT, detail)


def plain(path: bytes, *, field: str = "path", empty: bool = False) -> bytes:
    """Raises `validation_failed`; `empty` is the workspace itself."""
    if not path and not empty:
        raise wrong(field, "a path relative to the workspace")
    if path.startswith(STAGING_PREFIX):
        raise wrong(field, "another name: this one is Berth's own", path)
    return checked(path, most=PATH_BYTES, field=field)


@contextmanager
def parent_of(root: Path, path: bytes, *, create: bool = False) -> Generator[tuple[int, bytes]]:
    """The directory that holds `path`, and the last part."""
    above, _, name = path.rpartition(b"/")
    with directory_at(root, above, create=create) as parent:
        yield parent, name


@contextmanager
def directory_at(root: Path, path: bytes, *, create: bool = False) -> Generator[int]:
    """`path` is `plain`, or empty."""
    with opened_directory(root) as top:
        current = os.dup(top)
    try:
        for part in path.split(b"/") if path else []:
            following = _entered(current, part, create=create)
            os.close(current)
            current = following
        yield current
    finally:
        os.close(current)


def _entered(current: int, part: bytes, *, create: bool) -> int:
    try:
        return os.open(part, DIRECTORY, dir_fd=current)
    except FileNotFoundError:
        if not create:
            raise
    with suppress(FileExistsError):  # made by somebody else in this moment
        os.mkdir(part, 0o755, dir_fd=current)
    return os.open(part, DIRECTORY, dir_fd=current)


def kind_at(root: Path, path: bytes) -> EntryKind:
    """Raises `BerthError`, for a link too: nothing follows it."""
    if not path:
        return EntryKind.DIRECTORY
    expected = "the path of a file or directory, no link"
    with explained(path, expected=expected), parent_of(root, path) as (parent, name):
        kind = kind_of(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode)
    if kind in {EntryKind.LINK, EntryKind.OTHER}:
        raise wrong("path", expected, path)
    return kind


def open_file(root: Path, path: bytes) -> tuple[int, os.stat_result]:
    """A plain file's handle, and what is known of it. Raises `BerthError`."""
    with explained(path):
        with parent_of(root, path) as (parent, name):
            file = os.open(name, FILE, dir_fd=parent)
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            os.close(file)
            raise wrong("path", A_FILE, path)
        return file, found


def etag_of(found: os.stat_result) -> str:
    """Another one whenever the file was written or replaced, as far as its file system's clock
    tells.
    """
    return f'"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}-{found.st_ctime_ns:x}"'


def entry_of(
    path: bytes, found: os.stat_result, *, withheld: Sensitive, target: bytes = b""
) -> WorkspaceEntry:
    kind = kind_of(found.st_mode)
    named = shown(path)
    return WorkspaceEntry(
        path=named.text,
        name=named.text.rpartition("/")[2],
        escaped=named.escaped,
        kind=kind,
        size=found.st_size if kind is EntryKind.FILE else 0,
        mode=stat.S_IMODE(found.st_mode),
        mtime=found.st_mtime,
        etag=etag_of(found) if kind is EntryKind.FILE else "",
        target=for_people(target),
        withheld=withheld.covers(path),
    )


def kind_of(mode: int) -> EntryKind:
    if stat.S_ISREG(mode):
        return EntryKind.FILE
    if stat.S_ISDIR(mode):
        return EntryKind.DIRECTORY
    return EntryKind.LINK if stat.S_ISLNK(mode) else EntryKind.OTHER


def require_open(path: bytes, withheld: Sensitive) -> None:
    """Raises `sensitive_path`."""
    pattern = withheld.pattern_of(path)
    if pattern is not None:
        detail = f"{for_people(path)} is named as {pattern} is: that needs a permission of its own"
        raise BerthError(Code.SENSITIVE_PATH, detail, path=for_people(path), pattern=pattern)


@contextmanager
def explained(path: bytes, *, field: str = "path", expected: str = A_FILE) -> Generator[None]:
    """What the file system refuses becomes an error that says what would be right."""
    try:
        yield
    except OSError as error:
        raise _refusal(path, error, field, expected) from error


_WRONG_KIND = {
    errno.ELOOP,
    errno.ENXIO,
    errno.ENODEV,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EINVAL,
    errno.ENAMETOOLONG,
}
_SHUT = "the agent itself may not do that"
_CONFLICTS = {
    errno.EACCES: _SHUT,
    errno.EPERM: _SHUT,
    errno.EROFS: _SHUT,
    errno.EEXIST: "there is something already",
    errno.ENOTEMPTY: "it is not empty: delete it with recursive=1",
    errno.EXDEV: "it lies in another file system",
    errno.EBUSY: "it is in use",
}


def _refusal(path: bytes, error: OSError, field: str, expected: str) -> BerthError:
    named, number = for_people(path), error.errno or 0
    if number == errno.ENOENT:
        return NotFound(Code.NOT_FOUND, f"there is nothing at {named}", path=named)
    if number in _WRONG_KIND:
        return wrong(field, expected, path)
    if number in _CONFLICTS:
        return Stale(Code.CONFLICT, f"{named}: {_CONFLICTS[number]}", path=named)
    if is_full(error):
        detail = "the session's disk is full: delete something first"
        return BerthError(Code.LIMIT_REACHED, detail, limit="disk", path=named)
    return BerthError(Code.INTERNAL, f"{named}: {error.strerror}", path=named)
