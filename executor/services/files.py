"""The workspace's files, for people: read and changed beside whatever its agent does there.

Each step blocks in one of the agent's threads, never more than a few at once: runs and saves need
threads too. Nothing waits for ever for a disk that does not answer.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import ParamSpec, Protocol, TypeVar

import msgspec

from chassis.errors import BerthError, Stale
from chassis.files.names import shown
from chassis.files.ranges import Stretch, names_etag, require_readable, stretch_of
from chassis.files.sensitive import Sensitive
from contracts.errors import Code
from contracts.executors import ExecutorPhase
from contracts.workspace_files import (
    MOST_FILE_BYTES,
    TRANSFER_SECONDS,
    DeletedPath,
    EntryKind,
    UploadedFiles,
    WorkspaceEntry,
    WorkspaceMatches,
    WorkspaceTree,
    WrittenFile,
)
from executor.files import listing, moving, searching
from executor.files.opening import etag_of, kind_at, open_file, plain, require_open
from executor.files.searching import AskedSearch
from executor.files.unpacking import Unpacking
from executor.files.writing import Conditions, NewFile
from executor.files.zipping import Zipping, require_archivable
from executor.services.changes import Changes
from executor.services.lanes import Lanes
from executor.services.sending import Chunks, ZipChunks
from executor.status import Status
from executor.workspace.tree import Tree

P = ParamSpec("P")
T = TypeVar("T")
Written_co = TypeVar("Written_co", covariant=True)

TURN_SECONDS = 30.0
"""For another change to end."""

WHOLE = frozenset({ExecutorPhase.READY, ExecutorPhase.BUSY, ExecutorPhase.STOPPED})
"""In these the workspace is what was restored, and what this worker's agents made of it."""


class _New(Protocol[Written_co]):
    def finish(self) -> Written_co: ...

    def abandon(self) -> None: ...


class OpenedFile(msgspec.Struct, frozen=True, kw_only=True):
    size: int
    mtime: float
    """Seconds since the epoch."""
    etag: str
    stretch: Stretch | None
    """None: all of it."""
    chunks: Chunks | None
    """None: whoever asked has it already."""


class WorkspaceFiles:
    """Paths are bytes, relative to the workspace. Every call raises `BerthError`: with
    `validation_failed` it names the field; `not_found`; `sensitive_path` for what is `withheld`
    from the caller; `conflict` while there is no whole workspace.
    """

    def __init__(self, tree: Tree, status: Status, changes: Changes) -> None:
        self._tree = tree
        self._status = status
        self._changes = changes
        self._lanes = Lanes(tree)
        self._one = asyncio.Lock()
        """Of two that bring the same ETag one is first."""
        self._turn = threading.Lock()
        """The same of threads that nobody waits for any more."""
        self._swept = False

    async def tree(
        self, path: bytes, *, depth: int, limit: int, cursor: str | None, withheld: Sensitive
    ) -> WorkspaceTree:
        self._require_whole()
        return await self._lanes.run(
            listing.listed, path, depth=depth, limit=limit, cursor=cursor, withheld=withheld
        )

    async def search(self, asked: AskedSearch, withheld: Sensitive) -> WorkspaceMatches:
        self._require_whole()
        return await self._lanes.run(searching.searched, asked, withheld)

    async def read(
        self, path: bytes, *, wanted: str = "", none_match: str = "", withheld: Sensitive
    ) -> OpenedFile:
        """`wanted` is a `Range` header."""
        self._require_whole()
        require_open(plain(path), withheld)
        file, found = await self._lanes.open(open_file, lambda opened: os.close(opened[0]), path)
        try:
            etag = etag_of(found)
            known = bool(none_match) and names_etag(none_match, etag)
            stretch = None if known else stretch_of(wanted, found.st_size)
            whole = Stretch(0, 0) if known else stretch or Stretch(0, found.st_size)
            require_readable(whole)
        except BerthError:
            os.close(file)
            raise
        chunks = Chunks(file, whole.start, whole.length, self._tree.threads)
        if known:
            await chunks.aclose()
        return OpenedFile(
            size=found.st_size,
            mtime=found.st_mtime,
            etag=etag,
            stretch=stretch,
            chunks=None if known else chunks,
        )

    async def is_directory(self, path: bytes) -> bool:
        self._require_whole()
        return await self._lanes.run(kind_at, plain(path, empty=True)) is EntryKind.DIRECTORY

    async def archive(self, path: bytes, withheld: Sensitive) -> ZipChunks:
        self._require_whole()
        require_open(plain(path, empty=True), withheld)
        await self._lanes.run(require_archivable, path)
        zipping = await self._lanes.open(Zipping, Zipping.close, path, withheld)
        return ZipChunks(zipping, self._lanes)

    async def write(
        self,
        path: bytes,
        content: AsyncIterator[bytes],
        *,
        match: str = "",
        none_match: str = "",
        withheld: Sensitive,
    ) -> WrittenFile:
        require_open(plain(path), withheld)
        conditions = Conditions(match, none_match)

        async def change() -> WrittenFile:
            await self._sweep()
            new = await self._lanes.open(NewFile, NewFile.abandon, path, conditions)
            return await self._take(content, new.write, new)

        return await self._changes.made(change())

    async def unpack(
        self, path: bytes, content: AsyncIterator[bytes], withheld: Sensitive
    ) -> UploadedFiles:
        """Of a tar archive, beneath `path`."""
        require_open(plain(path, empty=True), withheld)

        async def change() -> UploadedFiles:
            await self._sweep()
            new = await self._lanes.open(Unpacking, Unpacking.abandon, path, withheld)
            return await self._take(content, new.feed, new)

        return await self._changes.made(change())

    async def rename(
        self, source: bytes, target: bytes, *, overwrite: bool, withheld: Sensitive
    ) -> WorkspaceEntry:
        require_open(plain(source, field="from"), withheld)
        require_open(plain(target, field="to"), withheld)

        async def change() -> WorkspaceEntry:
            async with self._one:
                renamed = self._in_turn(moving.renamed)
                return await self._lanes.run(renamed, source, target, overwrite=overwrite)

        return await self._changes.made(change())

    async def make_directory(
        self, path: bytes, *, parents: bool, withheld: Sensitive
    ) -> WorkspaceEntry:
        require_open(plain(path), withheld)
        return await self._changes.made(
            self._lanes.run(moving.made_directory, path, parents=parents)
        )

    async def delete(
        self, path: bytes, *, recursive: bool, match: str, withheld: Sensitive
    ) -> DeletedPath:
        require_open(plain(path), withheld)

        async def change() -> DeletedPath:
            await self._sweep()
            async with self._one:
                deleted = self._in_turn(moving.deleted)
                aside = await self._lanes.run(
                    deleted, path, recursive=recursive, match=match, withheld=withheld
                )
            if aside is not None:
                await self._lanes.run(moving.removed_aside, aside)
            named = shown(path)
            return DeletedPath(path=named.text, escaped=named.escaped)

        return await self._changes.made(change())

    async def _take(
        self, content: AsyncIterator[bytes], take: Callable[[bytes], None], new: _New[Written_co]
    ) -> Written_co:
        """All of it, then in one step where it belongs; or nothing."""
        size = 0
        try:
            async with asyncio.timeout(TRANSFER_SECONDS):
                async for chunk in content:
                    size += len(chunk)
                    if size > MOST_FILE_BYTES:
                        detail = f"at most {MOST_FILE_BYTES} bytes come at once"
                        raise BerthError(Code.TOO_LARGE, detail)
                    await self._lanes.step(take, chunk)
            async with self._one:
                return await self._lanes.step(self._in_turn(new.finish))
        except TimeoutError as error:
            detail = f"an upload takes at most {TRANSFER_SECONDS:g} s"
            raise BerthError(Code.UPSTREAM_TIMEOUT, detail) from error
        finally:
            self._lanes.close(new.abandon)

    def _in_turn(self, change: Callable[P, T]) -> Callable[P, T]:
        """What looks first and then changes, in its thread. Raises `upstream_timeout`."""

        def alone(*args: P.args, **kwargs: P.kwargs) -> T:
            if not self._turn.acquire(timeout=TURN_SECONDS):
                detail = "another change does not end: the workspace's disk may not answer"
                raise BerthError(Code.UPSTREAM_TIMEOUT, detail, retry_after=1)
            try:
                return change(*args, **kwargs)
            finally:
                self._turn.release()

        return alone

    async def _sweep(self) -> None:
        if not self._swept:
            await self._lanes.run(self._in_turn(self._sweep_once))

    def _sweep_once(self, root: Path) -> None:
        """What an executor before, in the same workspace, was writing when it died. Before anything
        is staged, and never again: a second sweep would take what was begun after the first.
        """
        if not self._swept:
            moving.sweep(root)
            self._swept = True

    def _require_whole(self) -> None:
        if self._status.phase not in WHOLE:
            phase = self._status.phase
            detail = f"there is no restored workspace to read from: the worker is {phase}"
            raise Stale(Code.CONFLICT, detail, retry_after=1.0)
