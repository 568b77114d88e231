"""One file of the workspace, read as the agent would read it, also while a run is live.

The path is walked segment by segment beneath the workspace's own handle and no link is followed,
neither on the way nor at its end. What the agent wrote decides nothing else: a FIFO does not hold
the reader up, a device or socket is refused, and a file that grows or shrinks meanwhile ends at the
size that was told, or breaks off.
"""

import asyncio
import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import msgspec

from chassis.errors import BerthError, NotFound, Stale
from contracts.errors import Code
from contracts.executors import ExecutorPhase
from executor.status import Status
from executor.threads import AgentThreads
from executor.workspace.beneath import opened_directory, opened_parent
from executor.workspace.errors import UnsafePath
from executor.workspace.tree import Tree

CHUNK_BYTES = 256 * 1024
CHUNK_SECONDS = 30.0
"""For one chunk to come from the disk."""
PATH_BYTES = 4096
WHOLE = frozenset({ExecutorPhase.READY, ExecutorPhase.BUSY, ExecutorPhase.STOPPED})
"""In these the workspace is what was restored, and what this worker's agents made of it."""
FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Chunks:
    """Exactly `size` bytes in pieces, or an error: `BerthError` when the file became shorter
    (`conflict`) or the disk did not answer (`upstream_timeout`). Closes the file at its end;
    whoever stops before that calls `aclose`.
    """

    def __init__(self, file: int, size: int, threads: AgentThreads) -> None:
        self._file = file
        self._left = size
        self._offset = 0
        self._threads = threads
        self._reading: asyncio.Future[bytes] | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self._closed or not self._left:
            await self.aclose()
            raise StopAsyncIteration
        try:
            chunk = await self._read()
        except BaseException:
            await self.aclose()
            raise
        self._left -= len(chunk)
        self._offset += len(chunk)
        return chunk

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._reading is None or self._reading.done():
            os.close(self._file)
        else:
            # its number must not become another file's while a thread reads from it
            self._reading.add_done_callback(lambda _: os.close(self._file))

    async def _read(self) -> bytes:
        size = min(CHUNK_BYTES, self._left)
        self._reading = self._threads.begin(os.pread, self._file, size, self._offset)
        try:
            async with asyncio.timeout(CHUNK_SECONDS):
                chunk = await asyncio.shield(self._reading)
        except TimeoutError as error:
            raise BerthError(Code.UPSTREAM_TIMEOUT, "the disk did not answer in time") from error
        if not chunk:
            raise Stale(Code.CONFLICT, "the file became shorter while it was read")
        return chunk


class OpenedFile(msgspec.Struct, frozen=True, kw_only=True):
    size: int
    mtime: float
    """Seconds since the epoch."""
    chunks: Chunks


class WorkspaceFiles:
    """What `GET /workspace/file?path=` answers with: `size` is the Content-Length."""

    def __init__(self, tree: Tree, status: Status) -> None:
        self._tree = tree
        self._status = status

    async def read(self, path: str) -> OpenedFile:
        """`path` is relative to the workspace, `/` between its parts.

        Raises `BerthError` `validation_failed` (field `path`) for a path that is none, that leads
        through a link or to something that is no plain file; `NotFound`; `Stale` `conflict` while
        there is no whole workspace, and for what the agent has shut to itself.
        """
        if self._status.phase not in WHOLE:
            raise Stale(
                Code.CONFLICT,
                f"there is no restored workspace to read from: the worker is {self._status.phase}",
                retry_after=1.0,
            )
        opening = asyncio.ensure_future(self._tree.run(_open, path, _bytes_of(path)))
        try:
            file, found = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_discard)
            raise
        chunks = Chunks(file, found.st_size, self._tree.threads)
        return OpenedFile(size=found.st_size, mtime=found.st_mtime, chunks=chunks)


def _discard(opening: asyncio.Future[tuple[int, os.stat_result]]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result()[0])


def _bytes_of(path: str) -> bytes:
    try:
        found = os.fsencode(path)
    except UnicodeEncodeError as error:
        raise _invalid(path, "text in UTF-8") from error
    if not 0 < len(found) <= PATH_BYTES:
        raise _invalid(path, f"a relative path of 1 to {PATH_BYTES} bytes")
    return found


def _open(root: Path, path: str, inner: bytes) -> tuple[int, os.stat_result]:
    with _explained(path):
        with opened_directory(root) as top, opened_parent(top, inner) as (above, name):
            file = os.open(name, FLAGS, dir_fd=above)
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            os.close(file)
            raise _invalid(path, "the path of a plain file")
        return file, found


@contextmanager
def _explained(path: str) -> Generator[None]:
    try:
        yield
    except UnsafePath as error:
        expected = "a plain path beneath the workspace, without links, '.', '..' or empty parts"
        raise _invalid(path, expected) from error
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: str, error: OSError) -> BerthError:
    shown = _shown(path)
    match error.errno:
        case errno.ENOENT:
            return NotFound(Code.NOT_FOUND, f"there is no file {shown}", path=shown)
        case errno.ELOOP | errno.ENXIO | errno.ENODEV | errno.ENOTDIR | errno.EISDIR:
            return _invalid(path, "the path of a plain file, no link")
        case errno.EACCES | errno.EPERM:
            return Stale(Code.CONFLICT, f"{shown} may not be read by the agent", path=shown)
        case _:
            return BerthError(Code.INTERNAL, f"{shown}: {error.strerror}", path=shown)


def _invalid(path: str, expected: str) -> BerthError:
    shown = _shown(path)
    return BerthError(
        Code.VALIDATION,
        f"path: {expected} is expected",
        field="path",
        expected=expected,
        path=shown,
    )


def _shown(path: str) -> str:
    return path.encode(errors="replace").decode()[:300]
