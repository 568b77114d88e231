"""Writes one file: beside all others until it is whole, then in one step where it belongs."""

import os
import stat
from pathlib import Path
from secrets import token_hex
from threading import RLock

from chassis.errors import BerthError, Stale
from chassis.files.names import for_people, wrong
from chassis.files.ranges import names_etag
from chassis.files.sensitive import NOTHING
from contracts.errors import Code
from contracts.workspace_files import WrittenFile
from executor.files.opening import A_FILE, STAGED, entry_of, etag_of, explained, parent_of
from executor.workspace.beneath import opened_directory

NEW_MODE = 0o644


class Conditions:
    """`If-Match` and `If-None-Match: *`; empty: any."""

    def __init__(self, match: str = "", none_match: str = "") -> None:
        if none_match not in {"", "*"}:
            raise wrong("If-None-Match", "*, for a file that is not there yet")
        self.match = match
        self.only_new = none_match == "*"

    def check(self, path: bytes, former: os.stat_result | None) -> None:
        """Raises `version_conflict`."""
        if former is not None and self.only_new:
            raise _changed(path, "is there already", etag_of(former))
        if not self.match:
            return
        if former is None:
            raise _changed(path, "is not there any more", "")
        if not names_etag(self.match, etag_of(former)):
            raise _changed(path, "is another one by now", etag_of(former))


def _changed(path: bytes, how: str, etag: str) -> BerthError:
    named = for_people(path)
    detail = f"{named} {how}: read it again, and send its ETag"
    return Stale(Code.VERSION_CONFLICT, detail, path=named, etag=etag)


class NewFile:
    """`write` and `finish`, or `abandon`, which is harmless at any time: it waits for what a thread
    is still at that nobody waits for any more.
    """

    def __init__(self, root: Path, path: bytes, conditions: Conditions) -> None:
        self.size = 0
        self._one = RLock()
        self._root = root
        self._path = path
        self._conditions = conditions
        self._staged = STAGED + token_hex(8).encode()
        self._former()  # refused before anything is sent, where that is known
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with explained(path), opened_directory(root) as top:
            self._file: int | None = os.open(self._staged, flags, 0o600, dir_fd=top)

    def write(self, content: bytes) -> None:
        rest = memoryview(content)
        with self._one, explained(self._path):
            while rest and self._file is not None:
                rest = rest[os.write(self._file, rest) :]
        self.size += len(content)

    def finish(self) -> WrittenFile:
        """Raises `BerthError`."""
        with self._one:
            return self._finish()

    def abandon(self) -> None:
        with self._one:
            self._abandon()

    def _finish(self) -> WrittenFile:
        file, path = self._file, self._path
        if file is None:
            raise Stale(Code.CONFLICT, "the upload was given up")
        with explained(path):
            os.fsync(file)
            former = self._former()
            os.fchmod(file, stat.S_IMODE(former.st_mode) & 0o777 if former else NEW_MODE)
            with (
                opened_directory(self._root) as top,
                parent_of(self._root, path, create=True) as (parent, name),
            ):
                self._place(top, parent, name)
            found = os.fstat(file)
        self._abandon()
        entry = entry_of(path, found, withheld=NOTHING)
        return WrittenFile(entry=entry, created=former is None)

    def _abandon(self) -> None:
        if self._file is None:
            return
        os.close(self._file)
        self._file = None
        with opened_directory(self._root) as top:
            try:
                os.unlink(self._staged, dir_fd=top)
            except FileNotFoundError:
                return

    def _place(self, top: int, parent: int, name: bytes) -> None:
        if not self._conditions.only_new:
            os.rename(self._staged, name, src_dir_fd=top, dst_dir_fd=parent)
            return
        try:
            # unlike a rename it replaces nothing, whoever was quicker
            os.link(self._staged, name, src_dir_fd=top, dst_dir_fd=parent, follow_symlinks=False)
        except FileExistsError as error:
            raise _changed(self._path, "is there already", "") from error

    def _former(self) -> os.stat_result | None:
        """What it would replace. Raises `BerthError` for what no file replaces."""
        with explained(self._path):
            try:
                with parent_of(self._root, self._path) as (parent, name):
                    former = os.stat(name, dir_fd=parent, follow_symlinks=False)
            except FileNotFoundError:
                former = None
        if former is not None and not stat.S_ISREG(former.st_mode):
            raise wrong("path", A_FILE, self._path)
        self._conditions.check(self._path, former)
        return former
