"""An uploaded tar archive becomes files of the workspace: all of it, or nothing.

It is unpacked aside first, from what was sent, chunk by chunk. Each name is walked beneath a handle
as any other; an entry that leads out, in its own name or by a link that came before it, refuses the
whole archive by name, and so do devices. Then what was unpacked is moved where it belongs, over
what is there: files over files, directories into directories.
"""

import os
import stat
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from threading import RLock

import msgspec

from chassis.errors import BerthError, Stale
from chassis.files.names import NAME_BYTES, for_people, leads_out, wrong
from chassis.files.sensitive import Sensitive
from chassis.files.tar import Member, MemberKind, TarRefused, TarStream
from contracts.errors import Code
from contracts.workspace_files import (
    MOST_FILE_BYTES,
    MOST_UNPACKED,
    OPERATION_SECONDS,
    PATH_BYTES,
    TRANSFER_SECONDS,
    UploadedFiles,
)
from executor.files.opening import (
    A_DIRECTORY,
    STAGED,
    Deadline,
    directory_at,
    explained,
    parent_of,
    plain,
    require_open,
)
from executor.files.walking import Found, walked
from executor.workspace.beneath import opened_directory, remove

WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Unpacking:
    """`feed` and `finish`, or `abandon`, which is harmless at any time: it waits for what a thread
    is still at that nobody waits for any more. All raise `BerthError`.
    """

    def __init__(self, root: Path, path: bytes, withheld: Sensitive) -> None:
        plain(path, empty=True)
        require_open(path, withheld)
        self._one = RLock()
        self._root = root
        self._path = path
        self._withheld = withheld
        self._staged = STAGED + token_hex(8).encode()
        self._aside = root / os.fsdecode(self._staged)
        self._stream = TarStream(self._begin, self._content, self._end)
        self._file: int | None = None
        self._member: Member | None = None
        self._directories: list[tuple[bytes, int, float]] = []
        self._count = self._files = self._links = self._bytes = 0
        with explained(path, expected=A_DIRECTORY):
            with suppress(FileNotFoundError), directory_at(root, path):
                pass
            with opened_directory(root) as top:
                os.mkdir(self._staged, 0o700, dir_fd=top)

    def feed(self, chunk: bytes) -> None:
        with self._one, _told():
            self._stream.feed(chunk)

    def finish(self) -> UploadedFiles:
        with self._one:
            return self._finish()

    def abandon(self) -> None:
        with self._one:
            self._abandon()

    def _finish(self) -> UploadedFiles:
        with _told():
            self._stream.finish()
        told = UploadedFiles(
            files=self._files,
            directories=len(self._directories),
            links=self._links,
            bytes=self._bytes,
        )
        self._require_room()
        self._move()
        self._abandon()
        return told

    def _abandon(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        with opened_directory(self._root) as top:
            remove(top, self._staged)

    # --- as the archive comes ---------------------------------------------------------------------

    def _begin(self, member: Member) -> None:
        self._member = member = _plainly(member)
        self._count += 1
        self._bytes += member.size
        if self._count > MOST_UNPACKED or self._bytes > MOST_FILE_BYTES:
            most = f"{MOST_UNPACKED} entries and {MOST_FILE_BYTES} bytes"
            raise BerthError(Code.TOO_LARGE, f"an archive unpacks to at most {most}")
        if not member.name:
            return
        require_open(self._place(member.name), self._withheld)
        with _explained(member):
            if member.kind is MemberKind.DIRECTORY:
                with directory_at(self._aside, member.name, create=True):
                    self._directories.append((member.name, member.mode, member.mtime))
                return
            with parent_of(self._aside, member.name, create=True) as (parent, name):
                with suppress(FileNotFoundError):
                    os.unlink(name, dir_fd=parent)  # an archive's last entry of a name counts
                self._make(member, parent, name)

    def _make(self, member: Member, parent: int, name: bytes) -> None:
        if member.kind is MemberKind.FILE:
            self._file = os.open(name, WRITE, 0o600, dir_fd=parent)
            self._files += 1
        elif member.kind is MemberKind.LINK:
            if leads_out(self._place(member.name), member.target):
                raise TarRefused("links that stay within the workspace", member.name)
            os.symlink(member.target, name, dir_fd=parent)
            self._links += 1
        else:
            with parent_of(self._aside, member.target) as (beneath, former):
                if not stat.S_ISREG(os.stat(former, dir_fd=beneath, follow_symlinks=False).st_mode):
                    raise TarRefused("hard links to files that came before", member.name)
                os.link(former, name, src_dir_fd=beneath, dst_dir_fd=parent, follow_symlinks=False)
            self._files += 1

    def _content(self, content: memoryview) -> None:
        with _explained(self._member):
            while content and self._file is not None:
                content = content[os.write(self._file, content) :]

    def _end(self) -> None:
        file, member, self._file = self._file, self._member, None
        if file is None or member is None:
            return
        with _explained(member):
            try:
                os.fchmod(file, member.mode & 0o777 | 0o600)
                _set_time(file, member.mtime)
            finally:
                os.close(file)

    # --- when all of it is there ------------------------------------------------------------------

    def _require_room(self) -> None:
        """Raises `conflict` for what cannot be put over what is there."""
        for found in walked(self._aside, b"", deadline=Deadline(OPERATION_SECONDS)):
            former = self._there(found.path)
            if former is not None and stat.S_ISDIR(former) is not found.is_directory:
                named = for_people(self._place(found.path))
                what = "a directory" if stat.S_ISDIR(former) else "no directory"
                raise Stale(Code.CONFLICT, f"there is {what} at {named}", path=named)

    def _move(self) -> None:
        for name, mode, mtime in reversed(self._directories):
            with suppress(FileNotFoundError), directory_at(self._aside, name) as handle:
                os.fchmod(handle, mode & 0o777 | 0o700)
                _set_time(handle, mtime)
        if self._path:
            with explained(self._path), directory_at(self._root, self._path, create=True):
                pass
        for found in walked(self._aside, b"", deadline=Deadline(TRANSFER_SECONDS)):
            # a directory that is new here goes as it is, with all that is in it
            if not found.is_directory or self._there(found.path) is None:
                self._move_one(found)

    def _move_one(self, found: Found) -> None:
        place = self._place(found.path)
        with explained(place), parent_of(self._root, place) as (parent, name):
            os.rename(found.name, name, src_dir_fd=found.parent, dst_dir_fd=parent)

    def _there(self, inner: bytes) -> int | None:
        """The mode of what is where it is to be."""
        place = self._place(inner)
        with explained(place):
            try:
                with parent_of(self._root, place) as (parent, name):
                    return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
            except FileNotFoundError:
                return None

    def _place(self, inner: bytes) -> bytes:
        return self._path + b"/" + inner if self._path else inner


def _plainly(member: Member) -> Member:
    """With plain paths. Raises `TarRefused` for one that leads out."""
    name = _stripped(member.name)
    if name or member.kind is not MemberKind.DIRECTORY:
        _require_plain(name, member)
    target = member.target
    if member.kind is MemberKind.TWIN:
        target = _stripped(target)
        _require_plain(target, member)
    elif b"\0" in target:
        raise TarRefused("links without NUL in them", member.name)
    return msgspec.structs.replace(member, name=name, target=target)


def _require_plain(path: bytes, member: Member) -> None:
    for part in path.split(b"/"):
        if part in {b"", b".", b".."} or b"\0" in part or len(part) > NAME_BYTES:
            expected = f"relative names without '..', {NAME_BYTES} bytes between slashes at most"
            raise TarRefused(expected, member.name)
    if len(path) > PATH_BYTES:
        raise TarRefused(f"names of at most {PATH_BYTES} bytes", member.name)


def _stripped(name: bytes) -> bytes:
    """`tar -c .` begins every name so."""
    while name.startswith(b"./"):
        name = name[2:].lstrip(b"/")
    return b"" if name == b"." else name


def _set_time(handle: int, mtime: float) -> None:
    with suppress(OverflowError, ValueError):
        moment = int(mtime * 1_000_000_000)
        os.utime(handle, ns=(moment, moment))


@contextmanager
def _told() -> Generator[None]:
    try:
        yield
    except TarRefused as refused:
        raise wrong("body", refused.expected, refused.name or None) from refused


def _explained(member: Member | None) -> AbstractContextManager[None]:
    name = member.name if member is not None else b""
    return explained(name, field="body", expected="names that no link of the archive is part of")
