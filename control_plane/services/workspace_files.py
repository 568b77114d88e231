"""A session's files where no worker runs: read from its head snapshot, and from nothing else."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import quote_from_bytes
from uuid import UUID

from chassis.errors import NotFound, Stale
from chassis.files.names import bytes_of, checked, glob_of, wrong
from chassis.files.ranges import Stretch, names_etag, require_readable, stretch_of
from chassis.files.sensitive import Sensitive
from contracts.errors import Code
from contracts.workspace_files import (
    PATH_BYTES,
    PATTERN_CHARACTERS,
    WorkspaceMatches,
    WorkspaceTree,
)
from control_plane.services import snapshot_contents as contents
from control_plane.services import snapshot_trees as trees
from control_plane.services.manifests import Manifests
from control_plane.services.sensitive import FileCaller, Opening, SensitiveNames
from control_plane.services.slots import Slots
from control_plane.services.transfers import timed
from control_plane.store import snapshots as store
from control_plane.store.database import Database
from snapshots.manifest import Manifest

ARCHIVES_AT_ONCE, OF_ONE = 8, 2
"""In this process, and of one person; whoever comes later waits."""
ARCHIVE_SECONDS = 10.0
"""For one of the others to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedFiles:
    """Where, and for whom."""

    session_id: UUID
    by: FileCaller
    path: str = ""
    escaped: bool = False

    @property
    def place(self) -> bytes:
        """Raises `validation_failed`."""
        return checked(bytes_of(self.path, escaped=self.escaped), most=PATH_BYTES)

    def opening(self, operation: str) -> Opening:
        """Raises `validation_failed`."""
        return Opening(self.session_id, operation, (quote_from_bytes(self.place),))


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotFile:
    snapshot_id: UUID
    path: bytes
    size: int
    mtime: float
    etag: str
    stretch: Stretch | None
    known: bool
    """Whoever asked has it already."""
    content: AsyncGenerator[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotArchive:
    snapshot_id: UUID
    path: bytes
    content: AsyncGenerator[bytes]


@dataclass(frozen=True, slots=True)
class _Head:
    id: UUID
    manifest: Manifest
    place: bytes
    withheld: Sensitive


class WorkspaceFiles:
    """All raise `sensitive_path`, `snapshot_damaged`, and `not_found` where nothing was saved."""

    def __init__(self, database: Database, manifests: Manifests, sensitive: SensitiveNames) -> None:
        self._database = database
        self._manifests = manifests
        self._sensitive = sensitive
        self._archives = Slots(ARCHIVES_AT_ONCE, each=OF_ONE, seconds=ARCHIVE_SECONDS)

    async def tree(
        self, asked: AskedFiles, *, depth: int, limit: int, cursor: str | None
    ) -> tuple[UUID, WorkspaceTree]:
        head = await self._head(asked)
        found = await asyncio.to_thread(
            trees.listed,
            head.manifest,
            head.place,
            depth=depth,
            limit=limit,
            cursor=cursor,
            withheld=head.withheld,
        )
        return head.id, found

    async def search(
        self,
        asked: AskedFiles,
        *,
        name: str,
        text: str,
        ignore_case: bool,
        limit: int,
        cursor: str | None,
    ) -> tuple[UUID, WorkspaceMatches]:
        """By name alone. Raises `workspace_read_only` for a search by content."""
        if text:
            how = "without a running worker files are found by name alone: send a message first"
            raise Stale(Code.WORKSPACE_READ_ONLY, f"text: {how}", field="text", expected="none")
        glob = glob_of(name, most=PATTERN_CHARACTERS, fold=ignore_case)
        head = await self._head(asked)
        found = await asyncio.to_thread(
            trees.searched,
            head.manifest,
            head.place,
            glob,
            scope=f"search {head.place!r} {name!r} '' {ignore_case}",
            limit=limit,
            cursor=cursor,
            withheld=head.withheld,
        )
        return head.id, found

    async def file(
        self, asked: AskedFiles, *, wanted: str, none_match: str, operation: str = "file"
    ) -> SnapshotFile:
        """`wanted` is a `Range` header."""
        if not asked.place:
            raise wrong("path", "the path of a plain file: relative to the workspace")
        head = await self._head(asked, opens=operation)
        item = await asyncio.to_thread(trees.file_at, head.manifest, head.place)
        await self._record(asked, operation)
        etag = trees.etag_of(item)
        known = bool(none_match) and names_etag(none_match, etag)
        stretch = None if known else stretch_of(wanted, item.size)
        whole = Stretch(0, 0) if known else stretch or Stretch(0, item.size)
        require_readable(whole)
        return SnapshotFile(
            snapshot_id=head.id,
            path=head.place,
            size=item.size,
            mtime=item.mtime_ns / 1_000_000_000,
            etag=etag,
            stretch=stretch,
            known=known,
            content=timed(contents.Contents(self._manifests, head.manifest).of(item, whole)),
        )

    async def download(
        self, asked: AskedFiles, *, wanted: str, none_match: str
    ) -> SnapshotFile | SnapshotArchive:
        head = await self._head(asked, opens="download")
        if not await asyncio.to_thread(trees.is_directory, head.manifest, head.place):
            return await self.file(
                asked, wanted=wanted, none_match=none_match, operation="download"
            )
        await asyncio.to_thread(contents.require_archivable, head.manifest, head.place)
        await self._record(asked, "download", beneath=True)
        content = self._archived(head, asked.by.user_id)
        return SnapshotArchive(snapshot_id=head.id, path=head.place, content=content)

    async def _head(self, asked: AskedFiles, *, opens: str = "") -> _Head:
        """`opens`: the operation that gives content."""
        if opens:
            await self._sensitive.require(asked.by, asked.opening(opens))
        async with self._database.reading() as connection:
            point = await store.head(connection, asked.session_id)
        if point is None:
            raise NotFound(
                Code.NOT_FOUND, "nothing was saved of this session yet: send it a message first"
            )
        manifest = await self._manifests.read(point.manifest_key, point.manifest_sha256)
        return _Head(point.id, manifest, asked.place, self._sensitive.withheld_from(asked.by))

    async def _record(self, asked: AskedFiles, operation: str, *, beneath: bool = False) -> None:
        async with self._database.unit() as unit:
            await self._sensitive.record(unit, asked.by, asked.opening(operation), beneath=beneath)

    async def _archived(self, head: _Head, by: UUID) -> AsyncGenerator[bytes]:
        """Raises `rate_limited` where others take theirs."""
        await self._archives.wait(by)
        with self._archives.taken(by):
            made = contents.archived(self._manifests, head.manifest, head.place, head.withheld)
            async with aclosing(timed(made)) as pieces:
                async for piece in pieces:
                    yield piece
