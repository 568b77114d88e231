"""Collection: old snapshots go in passing, then what no snapshot names, in two steps.

    uploaded ──(grace, unnamed)──► condemned ──(grace, unnamed)──► gone ──► deleted ──► no row
        ▲                              │ a commit names it
        └──────────────────────────────┘

Whoever names a pack and whoever collects it hold the same row (`store.packs`): a commit takes a
condemned pack back, one that comes after *gone* is refused, and its executor saves again without
its base. The state of each object stands in its row, so that a collector that dies is carried on
by the next one, from wherever it was. One collects at a time, which spares work, no more.

Objects in the store that have no row get one, and go the same way. There are no multipart uploads
to abort: every object comes by one PUT, which a store keeps whole or not at all.
"""

import asyncio
import datetime
import random
from collections import Counter
from uuid import UUID

from chassis.errors import DependencyUnavailable
from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.logs import get_logger
from chassis.objects import ObjectStore
from control_plane.domain.packs import Retention, Upload, owner_of, purpose_of
from control_plane.services.object_reads import ObjectReads
from control_plane.services.pack_lists import PackLists
from control_plane.store import collection as store
from control_plane.store import packs
from control_plane.store.collection import Held
from control_plane.store.database import Database

HOLD_SECONDS = 300.0
AT_ONCE = 1000
"""Rows that a transaction holds, keys of a page, objects of one call: as many as S3 takes."""
BATCHES = 50
"""Of each step in a pass: what is left waits for the next one."""
MANIFESTS = 500
PASSED_AT_ONCE = 200
REMEMBERED_SECONDS = 3600.0
"""What is deleted keeps its row for so long."""
LATE_SECONDS = 600.0
"""What stands in the store so long after it was deleted came late, and is deleted again."""
TRIES = 4
PREFIX = "p/"

_BEGINNING = (datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC), UUID(int=0))

_log = get_logger()


class Collection:
    def __init__(
        self,
        database: Database,
        objects: ObjectStore,
        retention: Retention,
        *,
        pause: float = 1.0,
    ) -> None:
        self._database = database
        self._objects = objects
        self._retention = retention
        self._pause = pause
        self._holder = new_id()
        self._lists = PackLists(database, ObjectReads(objects, pause=pause))

    async def run_once(self) -> Counter[str]:
        """One pass: how many of each step. Nothing, while another control plane is at it."""
        counts: Counter[str] = Counter()
        held = await self._hold()
        if held is None:
            return counts
        try:
            await self._collect(held, counts)
        finally:
            async with self._database.unit() as unit:
                await store.let_go(unit, self._holder)
        return counts

    async def _collect(self, held: Held, counts: Counter[str]) -> None:
        read = await self._lists.read_unknown(MANIFESTS)
        if not held.known:
            if not read:
                return
            async with self._database.unit() as unit:
                await store.all_read(unit)
        counts["snapshots"] = await self._pass_snapshots()
        counts["condemned"] = await self._condemn(held.looked_at)
        counts["given_up"] = await self._give_up()
        counts["deleted"] = await self._delete()
        counts["forgotten"] = await self._forget()
        counts["adopted"] = await self._adopt(held.listed)

    async def _hold(self) -> Held | None:
        async with self._database.unit() as unit:
            return await store.hold(unit, self._holder, HOLD_SECONDS)

    async def _pass_snapshots(self) -> int:
        """Checkpoints of runs that ended long ago, and old side snapshots."""
        times, after, done = self._retention, _BEGINNING, 0
        for _ in range(BATCHES):
            async with self._database.reading() as connection:
                found = await store.passed(
                    connection,
                    checkpoints=times.checkpoints,
                    sides=times.sides,
                    after=after,
                    limit=PASSED_AT_ONCE,
                )
            if not found:
                break
            await failpoint("collection.passed")
            async with self._database.unit() as unit:
                done += await store.delete_passed(unit, found, ended=times.checkpoints)
            after = (found[-1].created_at, found[-1].id)
            await self._hold()
        return done

    async def _condemn(self, after: str) -> int:
        """Walks over all rows, a stretch in each pass, then from the beginning again."""
        done = 0
        for _ in range(BATCHES):
            async with self._database.reading() as connection:
                page = await store.page(
                    connection, after=after, grace=self._retention.condemn, limit=AT_ONCE
                )
            await failpoint("collection.looked")
            async with self._database.unit() as unit:
                wanted = [one.key for one in page if one.old and not one.named]
                done += await store.condemn(unit, await store.lock_free(unit, wanted))
                after = page[-1].key if len(page) == AT_ONCE else ""
                await store.looked_at(unit, after)
            await failpoint("collection.condemned")
            if not after:
                break
            await self._hold()
        return done

    async def _give_up(self) -> int:
        done, after, grace = 0, "", self._retention.delete
        for _ in range(BATCHES):
            async with self._database.reading() as connection:
                keys = await store.long_condemned(
                    connection, grace=grace, after=after, limit=AT_ONCE
                )
            if not keys:
                break
            await failpoint("collection.before_give_up")
            async with self._database.unit() as unit:
                free = await store.lock_free(unit, keys)
                await failpoint("collection.give_up_locked")
                done += await store.give_up(unit, free, grace=grace)
            await failpoint("collection.given_up")
            after = keys[-1]
            await self._hold()
        return done

    async def _delete(self) -> int:
        """From the store first; a row that stays behind is found again."""
        done, after = 0, ""
        for _ in range(BATCHES):
            async with self._database.reading() as connection:
                keys = await store.gone(connection, after=after, limit=AT_ONCE)
            if not keys:
                break
            left = await self._delete_objects(keys)
            await failpoint("collection.objects_deleted")
            async with self._database.unit() as unit:
                await store.deleted(unit, [key for key in keys if key not in left])
            await failpoint("collection.deleted")
            done += len(keys) - len(left)
            after = keys[-1]
            await self._hold()
        return done

    async def _delete_objects(self, keys: list[str]) -> set[str]:
        """Those that are left: the next pass finds them again."""
        left = keys
        for tried in range(1, TRIES + 1):
            try:
                left = await self._objects.delete_many(left)
            except DependencyUnavailable:
                if tried == TRIES:
                    raise
            if not left:
                break
            if tried < TRIES:
                await asyncio.sleep(self._pause * 2**tried * random.uniform(0.5, 1))  # noqa: S311  # no secret
        if left:
            _log.warning("objects_not_deleted", count=len(left))
        return set(left)

    async def _forget(self) -> int:
        done = 0
        for _ in range(BATCHES):
            async with self._database.unit() as unit:
                batch = await store.forget(unit, after=REMEMBERED_SECONDS, limit=AT_ONCE)
            done += batch
            if batch < AT_ONCE:
                break
        return done

    async def _adopt(self, after: str) -> int:
        """Walks over the store: what stands there without a row gets one, and its grace."""
        done = 0
        for _ in range(BATCHES):
            found = await self._objects.list(PREFIX, after=after, limit=AT_ONCE)
            lengths = {one.key: one.size for one in found if owner_of(one.key) is not None}
            async with self._database.unit() as unit:
                await store.again(unit, list(lengths), after=LATE_SECONDS)
                rowless = await store.without_row(unit.connection, list(lengths))
                await packs.adopt(
                    unit,
                    [
                        Upload(key=key, purpose=purpose_of(key), length=lengths[key])
                        for key in sorted(rowless)
                    ],
                )
                after = found[-1].key if len(found) == AT_ONCE else ""
                await store.listed(unit, after)
            await failpoint("collection.adopted")
            done += len(rowless)
            if not after:
                break
            await self._hold()
        return done
