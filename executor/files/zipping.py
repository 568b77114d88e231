"""A directory as a zip archive, made piece by piece as it is taken: a slow reader holds no thread.

Links are links in it, or left out where they lead out; special files, what is shut, and names that
the caller may not open are left out. A list at its end says so.
"""

import os
import stat
from collections.abc import Generator
from pathlib import Path
from threading import Lock

from chassis.errors import BerthError
from chassis.files.sensitive import Sensitive
from contracts.errors import Code
from contracts.workspace_files import (
    MOST_ARCHIVED,
    MOST_ARCHIVED_BYTES,
    OPERATION_SECONDS,
    TRANSFER_SECONDS,
)
from executor.files.opening import A_DIRECTORY, FILE, Deadline, explained
from executor.files.walking import Found, walked

PIECE_BYTES = 256 * 1024


def require_archivable(root: Path, path: bytes) -> None:
    """Before its first byte is sent. Raises `BerthError`."""
    count = size = 0
    with explained(path, expected=A_DIRECTORY):
        for found in walked(root, path, deadline=Deadline(OPERATION_SECONDS)):
            count += 1
            size += found.status.st_size if found.is_file else 0
            if count > MOST_ARCHIVED or size > MOST_ARCHIVED_BYTES:
                most = f"{MOST_ARCHIVED} entries and {MOST_ARCHIVED_BYTES} bytes"
                raise BerthError(Code.TOO_LARGE, f"a download has at most {most}: take a part")


class Zipping:
    def __init__(self, root: Path, path: bytes, withheld: Sensitive) -> None:
        # loaded when somebody wants one: no start waits for it
        from chassis.files.zips import ZipPieces  # noqa: PLC0415 - only where one is made

        self._root = root
        self._path = path
        self._withheld = withheld
        self._zip = ZipPieces()
        self._top = len(path) + 1 if path else 0
        self._pieces = self._made()
        self._one = Lock()

    def following(self) -> bytes | None:
        """None: that was all. Raises `BerthError`."""
        with self._one:
            return self._following()

    def close(self) -> None:
        """Waits for what a thread is still at that nobody waits for any more."""
        with self._one:
            self._pieces.close()

    def _following(self) -> bytes | None:
        made: list[bytes] = []
        size = 0
        for piece in self._pieces:
            made.append(piece)
            size += len(piece)
            if size >= PIECE_BYTES:
                break
        return b"".join(made) if size else None

    def _made(self) -> Generator[bytes]:
        deadline = Deadline(TRANSFER_SECONDS)
        with explained(self._path, expected=A_DIRECTORY):
            for found in walked(
                self._root, self._path, deadline=deadline, on_shut=self._leave_out_shut
            ):
                inner = found.path[self._top :]
                if self._withheld.covers(found.path):
                    self._zip.leave_out(inner, "its name needs a permission of its own")
                elif found.is_file:
                    yield from self._file(found, inner, deadline)
                else:
                    yield self._other(found, inner)
        yield self._zip.finish()

    def _other(self, found: Found, inner: bytes) -> bytes:
        mode, mtime = stat.S_IMODE(found.status.st_mode), found.status.st_mtime
        if found.is_directory:
            return self._zip.directory(inner, mode, mtime)
        if not found.is_link:
            self._zip.leave_out(inner, "a socket, FIFO or device")
            return b""
        try:
            target = os.readlink(found.name, dir_fd=found.parent)
        except OSError:
            return b""  # it went away
        return self._zip.link(inner, target, mtime)

    def _file(self, found: Found, inner: bytes, deadline: Deadline) -> Generator[bytes]:
        try:
            file = os.open(found.name, FILE, dir_fd=found.parent)
        except OSError as error:
            self._zip.leave_out(inner, error.strerror or "it cannot be read")
            return
        try:
            status = os.fstat(file)
            if not stat.S_ISREG(status.st_mode):
                return
            yield self._zip.begin(inner, stat.S_IMODE(status.st_mode), status.st_mtime)
            left = status.st_size  # what is written behind it meanwhile does not hold us here
            while left > 0 and (chunk := os.read(file, min(PIECE_BYTES, left))):
                left -= len(chunk)
                deadline.check()
                yield self._zip.content(chunk)
            yield self._zip.end()
        finally:
            os.close(file)

    def _leave_out_shut(self, path: bytes) -> None:
        self._zip.leave_out(path[self._top :], "the agent itself may not read it")
