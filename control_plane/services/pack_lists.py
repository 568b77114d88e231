"""Which packs a snapshot names, where its commit did not say: its manifest is read.

So it is with snapshots from before there were rows of packs, and with those of executors that do
not list them yet. Until they have been read nothing is condemned that they could name: at first
nothing at all, later nothing of their projects. One that cannot be read is marked as damaged and
tried again; its project's packs are all kept.
"""

import asyncio
import hashlib
from uuid import UUID

from chassis.errors import NotFound
from chassis.failpoints import failpoint
from chassis.logs import get_logger
from chassis.objects import CutShort
from contracts.snapshots import MAX_OBJECT_BYTES
from control_plane.domain.packs import Upload, is_of
from control_plane.services.manifests import RAW_BYTES
from control_plane.services.object_reads import CUT_SHORT, ObjectReads
from control_plane.store import collection, packs
from control_plane.store.database import Database
from control_plane.store.packs import Unknown
from snapshots.errors import Unusable
from snapshots.manifest import Limits
from snapshots.model import Pack
from snapshots.reading import manifest_of

AT_ONCE = 50
LIMITS = Limits(max_items=10_000_000, max_bytes=1 << 50, raw_bytes=RAW_BYTES)
"""Beyond what executors save: here nothing is unpacked but the manifest, a part at a time."""

_log = get_logger()


class PackLists:
    def __init__(self, database: Database, reads: ObjectReads) -> None:
        self._database = database
        self._reads = reads
        self._again: list[UUID] = []
        """Those that were tried again, until all of them were."""

    async def read_unknown(self, limit: int) -> bool:
        """At most `limit` manifests. True: none is left that was not tried.

        Raises `DependencyUnavailable` when the store is away: that says nothing of a snapshot.
        """
        tried: list[UUID] = []
        while len(tried) < limit:
            async with self._database.reading() as connection:
                found = await packs.unknown(connection, fresh=True, but=tried, limit=AT_ONCE)
            if not found:
                await self._try_again(limit - len(tried))
                return True
            for snapshot in found[: limit - len(tried)]:
                tried.append(snapshot.id)
                await self._read(snapshot)
        return False

    async def _try_again(self, limit: int) -> None:
        """Those that could not be read before: somebody may have put back what was missing."""
        limit = min(limit, AT_ONCE)
        async with self._database.reading() as connection:
            found = await packs.unknown(connection, fresh=False, but=self._again, limit=limit)
        for snapshot in found:
            await self._read(snapshot)
        self._again = [*self._again, *(one.id for one in found)] if len(found) == limit else []

    async def _read(self, snapshot: Unknown) -> None:
        named = await self._named(snapshot)
        await failpoint("pack_lists.read")
        async with self._database.unit() as unit:
            if isinstance(named, str):
                if await collection.damage(unit, snapshot.id, named):
                    _log.warning("snapshot_damaged", snapshot=str(snapshot.id), found=named)
                return
            uploads = [Upload(key=one.key, purpose="pack", length=one.length) for one in named]
            gone = await packs.learn(unit, snapshot, uploads)
            if gone:
                await collection.damage(unit, snapshot.id, f"{len(gone)} packs are gone")
        await failpoint("pack_lists.learned")

    async def _named(self, snapshot: Unknown) -> list[Pack] | str:
        """A text: why it cannot be read."""
        try:
            stored = await self._reads.at_most(snapshot.manifest_key, MAX_OBJECT_BYTES)
        except NotFound:
            return "its manifest is missing"
        except CutShort:
            return f"its manifest: {CUT_SHORT}"
        if await asyncio.to_thread(_sha256, stored) != snapshot.manifest_sha256:
            return "its manifest is not what was saved"
        try:
            manifest = await asyncio.to_thread(manifest_of, stored, LIMITS)
        except Unusable as error:
            return f"its manifest: {error}"
        named = {pack.key: pack for pack in manifest.packs}
        foreign = [key for key in named if not is_of(snapshot.project_id, key)]
        return f"it names {foreign[0][:200]!r}" if foreign else list(named.values())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
