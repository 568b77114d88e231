"""A tree that is sent becomes packs in the store and a manifest, with a few packs in memory.

What was uploaded before a tree is refused is named by nobody, and collected.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from chassis.errors import BerthError
from chassis.failpoints import failpoint
from chassis.files.names import for_people
from chassis.files.tar import Member, MemberKind, TarRefused, TarStream
from chassis.ids import new_id
from chassis.objects import ObjectStore
from contracts.errors import Code
from contracts.trees import MOST_ENTRIES
from control_plane.domain.packs import Upload, session_prefix
from control_plane.services.manifests import RAW_BYTES, walked
from control_plane.services.slots import Slots
from control_plane.store import packs
from control_plane.store.database import Database
from snapshots.building import EntryRefused, MadePack, TreeBuilder
from snapshots.manifest import Limits, Manifest
from snapshots.model import Item, Kind, Pack, Totals
from snapshots.paths import MEMORY

AT_ONCE, OF_ONE = 4, 2
"""Trees in this process, and of one person; whoever comes later waits."""
UPLOADS = 2
"""At once, of each tree."""
FED_AT_ONCE = 1024 * 1024
HEADS_BYTES = 2048
"""Of an entry in an archive, besides its content; long names have more, and count as content."""

_KINDS = {
    MemberKind.FILE: Kind.FILE,
    MemberKind.DIRECTORY: Kind.DIRECTORY,
    MemberKind.LINK: Kind.LINK,
    MemberKind.TWIN: Kind.TWIN,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Whose objects they become."""

    project_id: UUID
    session_id: UUID

    @property
    def prefix(self) -> str:
        return f"{session_prefix(self.project_id, self.session_id)}0/"


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltTree:
    manifest_key: str
    manifest_sha256: str
    keys: list[str]
    """All packs that the manifest names."""
    totals: Totals
    new_bytes: int
    sha256: str
    """Of the archive, for whoever sends it twice."""


class TreeBuilding:
    """`most`: bytes of a tree, and of the archive that brings it."""

    def __init__(self, database: Database, objects: ObjectStore, *, most: int) -> None:
        self._database = database
        self._objects = objects
        self._most = most
        self._slots = Slots(AT_ONCE, each=OF_ONE)

    async def build(
        self,
        place: Place,
        parts: AsyncIterator[bytes],
        *,
        by: UUID,
        former: Manifest | None = None,
        most: int | None = None,
    ) -> BuiltTree:
        """`former`: what it has of agents' memory stays. Raises `validation_failed` with the
        entry's path and the rule that refused it, `too_large`, `rate_limited`.
        """
        limit = min(self._most, most or self._most)
        await self._slots.wait(by)
        with self._slots.taken(by):
            receiving = _Receiving(limit)
            if former is not None:
                await asyncio.to_thread(receiving.adopt, former)
            uploads = _Uploads(self._database, self._objects, place)
            try:
                await _feed(receiving, parts, uploads)
                for pack in await asyncio.to_thread(receiving.finish):
                    await uploads.add(pack)
                keys = await uploads.done()
            finally:
                await uploads.abandon()
            await failpoint("tree.uploaded")
            stored = await asyncio.to_thread(receiving.stored, keys)
            key = await uploads.put(stored, "manifest")
        return BuiltTree(
            manifest_key=key,
            manifest_sha256=hashlib.sha256(stored).hexdigest(),
            keys=[pack.key for pack in Manifest(stored, receiving.limits).packs],
            totals=receiving.totals,
            new_bytes=len(stored) + sum(pack.length for pack in keys.values()),
            sha256=receiving.digest.hexdigest(),
        )


class _Receiving:
    """The blocking half, called in threads, one call at a time."""

    def __init__(self, most: int) -> None:
        self.limits = Limits(max_items=MOST_ENTRIES, max_bytes=most, raw_bytes=RAW_BYTES)
        self.digest = hashlib.sha256()
        self._builder = TreeBuilder(self.limits)
        self._stream = TarStream(self._begin, self._builder.content, self._builder.end)
        self._read = 0

    @property
    def totals(self) -> Totals:
        return self._builder.totals

    def adopt(self, former: Manifest) -> None:
        for item in walked(former.items()):
            if item.path != MEMORY and not item.path.startswith(MEMORY + b"/"):
                return
            self._builder.adopt(item, former.packs)

    def feed(self, chunk: bytes) -> list[MadePack]:
        self._read += len(chunk)
        if self._read > self.limits.max_bytes + MOST_ENTRIES * HEADS_BYTES:
            raise _too_large(self.limits.max_bytes)
        self.digest.update(chunk)
        try:
            self._stream.feed(chunk)
        except (TarRefused, EntryRefused) as error:
            raise _refused(error, self.limits) from error
        return self._builder.full()

    def finish(self) -> list[MadePack]:
        try:
            self._stream.finish()
            self._builder.finish()
        except (TarRefused, EntryRefused) as error:
            raise _refused(error, self.limits) from error
        return self._builder.full()

    def stored(self, keys: dict[int, Pack]) -> bytes:
        try:
            return self._builder.stored(keys)
        except EntryRefused as error:
            raise _refused(error, self.limits) from error

    def _begin(self, member: Member) -> None:
        path = member.name
        while path.startswith(b"./"):
            path = path[2:].lstrip(b"/")
        if path in {b"", b"."} and member.kind is MemberKind.DIRECTORY:
            # `tar -C tree .` begins with it: whose the top is, is not the sender's to say
            return
        target = member.target if member.kind in {MemberKind.LINK, MemberKind.TWIN} else b""
        if member.kind is MemberKind.TWIN and target.startswith(b"./"):
            target = target[2:]
        self._builder.begin(
            Item(
                path,
                _KINDS[member.kind],
                member.mode & 0o7777,
                member.mtime_ns,
                member.size,
                target=target,
            )
        )


class _Uploads:
    def __init__(self, database: Database, objects: ObjectStore, place: Place) -> None:
        self._database = database
        self._objects = objects
        self._place = place
        self._running: set[asyncio.Task[None]] = set()
        self._kept: dict[int, Pack] = {}

    async def add(self, pack: MadePack) -> None:
        """Waits while there are as many as may be."""
        while len(self._running) >= UPLOADS:
            await self._some(asyncio.FIRST_COMPLETED)
        self._running.add(asyncio.create_task(self._upload(pack)))

    async def done(self) -> dict[int, Pack]:
        while self._running:
            await self._some(asyncio.FIRST_COMPLETED)
        return self._kept

    async def abandon(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()

    async def put(self, content: bytes, purpose: str) -> str:
        key = f"{self._place.prefix}{new_id()}.{purpose}"
        async with self._database.unit() as unit:
            await packs.record(
                unit,
                project_id=self._place.project_id,
                session_id=self._place.session_id,
                uploads=[Upload(key=key, purpose=purpose, length=len(content))],
            )
        await self._objects.put(key, content)
        return key

    async def _upload(self, pack: MadePack) -> None:
        key = await self.put(pack.content, "pack")
        self._kept[pack.number] = Pack(key, len(pack.content))

    async def _some(self, when: str) -> None:
        ended, self._running = await asyncio.wait(self._running, return_when=when)
        for task in ended:
            task.result()


async def _feed(receiving: _Receiving, parts: AsyncIterator[bytes], uploads: _Uploads) -> None:
    waiting = bytearray()
    async for part in parts:
        waiting += part
        if len(waiting) >= FED_AT_ONCE:
            for pack in await asyncio.to_thread(receiving.feed, bytes(waiting)):
                await uploads.add(pack)
            waiting.clear()
    for pack in await asyncio.to_thread(receiving.feed, bytes(waiting)):
        await uploads.add(pack)


def _refused(error: TarRefused | EntryRefused, limits: Limits) -> BerthError:
    if isinstance(error, TarRefused):
        rule, path = "archive", error.name
    elif error.rule == "too_large":
        return _too_large(limits.max_bytes)
    else:
        rule, path = error.rule, error.path
    named = for_people(path)
    where = f"{named}: " if named else ""
    return BerthError(
        Code.VALIDATION,
        f"body: {where}expected {error.expected}",
        field="body",
        expected=error.expected,
        rule=rule,
        path=named,
    )


def _too_large(most: int) -> BerthError:
    return BerthError(
        Code.TOO_LARGE, f"the tree has more than {most} bytes, which is the limit", limit=most
    )
