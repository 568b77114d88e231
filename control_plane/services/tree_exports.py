"""A session's workspace as a tar, from one of its snapshots: all of it, or what
differs from another.

A stream: entries in the order of paths, contents frame by frame, each byte checked. Agents' memory
is not in it, and neither are files of sensitive names where the caller may not open them: how many
were left out is known before the first byte.
"""

import asyncio
import tarfile
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from urllib.parse import quote_from_bytes
from uuid import UUID

from chassis.files.ranges import Stretch
from chassis.files.sensitive import Sensitive
from contracts.trees import Side
from control_plane.services import snapshot_trees as trees
from control_plane.services.forks import no_snapshot
from control_plane.services.manifests import Manifests, walked
from control_plane.services.sensitive import FileCaller, Opening, SensitiveNames
from control_plane.services.slots import Slots
from control_plane.services.snapshot_contents import Contents
from control_plane.store import snapshots as store
from control_plane.store.database import Connection, Database
from snapshots.difference import Change, differences
from snapshots.manifest import Manifest
from snapshots.model import Item, Kind
from snapshots.paths import MEMORY

AT_ONCE, OF_ONE = 8, 2
"""In this process, and of one person; whoever comes later waits."""
BATCH = 200
MOST_TOLD = 100
WALK_SECONDS = 300.0
SECOND = 1_000_000_000
END = bytes(2 * tarfile.BLOCKSIZE)

_TYPES = {
    Kind.FILE: tarfile.REGTYPE,
    Kind.DIRECTORY: tarfile.DIRTYPE,
    Kind.LINK: tarfile.SYMTYPE,
    Kind.TWIN: tarfile.LNKTYPE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedTree:
    session_id: UUID
    by: FileCaller
    snapshot_id: UUID | None = None
    """None: the head."""
    since: UUID | None = None
    from_nothing: bool = False
    """With `since` None: compared with an empty tree, not sent as a whole."""
    side: Side = Side.AFTER

    @property
    def compares(self) -> bool:
        return self.since is not None or self.from_nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportedTree:
    snapshot_id: UUID
    withheld: int
    files: int
    size: int
    content: AsyncGenerator[bytes]


@dataclass(frozen=True, slots=True)
class _Source:
    """`items` walks anew each time. `whole`: hard links have what they link to."""

    manifest: Manifest
    items: Callable[[], Iterator[Item]]
    whole: bool


@dataclass(slots=True)
class _Seen:
    left_out: int = 0
    files: int = 0
    size: int = 0
    opened: list[str] = field(default_factory=list[str])
    """The first of those whose names are sensitive: for the audit."""


class TreeExports:
    def __init__(self, database: Database, manifests: Manifests, names: SensitiveNames) -> None:
        self._database = database
        self._manifests = manifests
        self._names = names
        self._slots = Slots(AT_ONCE, each=OF_ONE)

    async def export(self, asked: AskedTree) -> ExportedTree:
        """Raises `snapshot_not_found`, `snapshot_damaged`."""
        after, source = await self._source(asked)
        withheld = self._names.withheld_from(asked.by)
        all_names = Sensitive(self._names.patterns)
        seen = await asyncio.to_thread(_seen, source, withheld, all_names)
        if seen.opened:
            opening = Opening(asked.session_id, "tree", seen.opened)
            async with self._database.unit() as unit:
                await self._names.record(unit, asked.by, opening)
        return ExportedTree(
            snapshot_id=after,
            withheld=seen.left_out,
            files=seen.files,
            size=seen.size,
            content=self._content(source, withheld, by=asked.by.user_id),
        )

    async def _source(self, asked: AskedTree) -> tuple[UUID, _Source]:
        async with self._database.reading() as connection:
            after = await _point(connection, asked.session_id, asked.snapshot_id)
            before = None
            if asked.since is not None:
                before = await _point(connection, asked.session_id, asked.since)
        new = await self._manifests.read(after.manifest_key, after.manifest_sha256)
        if not asked.compares:
            return after.id, _Source(new, lambda: _own(new), whole=True)
        old = None
        if before is not None:
            old = await self._manifests.read(before.manifest_key, before.manifest_sha256)
        if asked.side is Side.AFTER:
            return after.id, _Source(new, lambda: _changed(old, new, asked.side), whole=False)
        if old is None:
            return after.id, _Source(new, lambda: iter(()), whole=False)
        return after.id, _Source(old, lambda: _changed(old, new, asked.side), whole=False)

    async def _content(
        self, source: _Source, withheld: Sensitive, *, by: UUID
    ) -> AsyncGenerator[bytes]:
        """Raises `rate_limited` with its first piece."""
        contents = Contents(self._manifests, source.manifest)
        await self._slots.wait(by)
        with self._slots.taken(by):
            items = source.items()
            while batch := await asyncio.to_thread(_some, items):
                for item in batch:
                    if withheld.covers(item.path):
                        continue
                    told = await asyncio.to_thread(_told, source, item, withheld)
                    yield _head(told)
                    if told.kind is Kind.FILE and told.size:
                        async for piece in contents.of(told, Stretch(0, told.size)):
                            yield piece
                        yield bytes(-told.size % tarfile.BLOCKSIZE)
        yield END


def _told(source: _Source, item: Item, withheld: Sensitive) -> Item:
    """A hard link stays one where what it links to comes with it."""
    if item.kind is not Kind.TWIN or (source.whole and not withheld.covers(item.target)):
        return item
    first = trees.resolved(source.manifest, item)
    return Item(item.path, Kind.FILE, first.mode, first.mtime_ns, first.size, first.parts)


def _head(item: Item) -> bytes:
    info = tarfile.TarInfo(item.path.decode(errors="surrogateescape"))
    info.type, info.mode = _TYPES[item.kind], item.mode
    info.size = item.size if item.kind is Kind.FILE else 0
    info.linkname = item.target.decode(errors="surrogateescape")
    seconds, rest = divmod(item.mtime_ns, SECOND)
    info.mtime = seconds
    if rest or seconds < 0:
        sign = "-" if item.mtime_ns < 0 else ""
        whole, part = divmod(abs(item.mtime_ns), SECOND)
        info.pax_headers = {"mtime": f"{sign}{whole}.{part:09d}"}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _own(manifest: Manifest) -> Iterator[Item]:
    for item in walked(manifest.items(), seconds=WALK_SECONDS):
        if item.path != MEMORY and not item.path.startswith(MEMORY + b"/"):
            yield item


def _changed(old: Manifest | None, new: Manifest, side: Side) -> Iterator[Item]:
    before = iter(()) if old is None else _own(old)
    for one in differences(before, _own(new)):
        found = one.after if side is Side.AFTER else one.before
        if found is not None and (side is Side.AFTER or one.change is not Change.ADDED):
            yield found


def _seen(source: _Source, withheld: Sensitive, names: Sensitive) -> _Seen:
    """What will be sent, before it is."""
    seen = _Seen()
    for item in source.items():
        if withheld.covers(item.path):
            seen.left_out += 1
            continue
        seen.files += item.kind is not Kind.DIRECTORY
        seen.size += item.size
        if len(seen.opened) < MOST_TOLD and names.covers(item.path):
            seen.opened.append(quote_from_bytes(item.path))
    return seen


def _some(items: Iterator[Item]) -> list[Item]:
    return list(islice(items, BATCH))


async def _point(connection: Connection, session_id: UUID, snapshot_id: UUID | None) -> store.Point:
    if snapshot_id is None:
        found = await store.head(connection, session_id)
    else:
        found = await store.point(connection, session_id, snapshot_id)
    if found is None:
        raise no_snapshot(snapshot_id)
    return found
