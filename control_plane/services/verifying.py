"""Reads all that committed snapshots need: manifests first, then each of their packs once.

Packs are read in windows, in the order of their keys: those of one session stand together. Of a
window's packs it is gathered what the manifests that name them say; only that is in memory, and a
few packs. What does not agree is read a second time before it is called wrong. A window is settled
in one transaction with what was found in it, so that whoever carries on after a crash, or beside
another replica, tells nothing twice.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.logs import get_logger
from chassis.objects import ObjectStore
from contracts.events import WorkspaceDamaged
from contracts.verifications import MOST_FINDINGS, SnapshotOutcome
from control_plane.domain.pack_checks import Hit, Stretch, Wrong, hits, stretches
from control_plane.domain.packs import Upload
from control_plane.services.object_checks import ObjectChecks
from control_plane.services.object_reads import ObjectReads
from control_plane.services.pace import Pace
from control_plane.store import packs, session_saves, session_states
from control_plane.store import verifications as store
from control_plane.store.database import Database
from control_plane.store.verifications import Held, Named, NewFinding, Unmarked, Unread
from snapshots.manifest import Manifest

HOLD_SECONDS = 900.0
SNAPSHOTS_AT_ONCE = 50
PACKS_AT_ONCE = 16
KEPT_DAYS = 90
FORGOTTEN_AT_ONCE = 100
PATH_SHOWN = 2000

_log = get_logger()


class _SettledBefore(Exception):
    """Another replica has settled some of a window's packs: the next window is without them."""


class Verifying:
    def __init__(
        self, database: Database, objects: ObjectStore, *, pace: Pace, pause: float = 1.0
    ) -> None:
        self._database = database
        self._holder = new_id()
        self._checks = ObjectChecks(ObjectReads(objects, pause=pause), pace)

    async def run_once(self) -> Counter[str]:
        """All that is asked for and nobody else is at: how many snapshots were damaged, packs read.

        Raises `DependencyUnavailable` when the store is away; the next pass goes on from there.
        """
        done: Counter[str] = Counter()
        try:
            while (held := await self._hold()) is not None and await self._verify(held, done):
                continue
        finally:
            self._checks.forget()
            async with self._database.unit() as unit:
                await store.let_go(unit, self._holder)
        return done

    async def forget(self) -> int:
        async with self._database.unit() as unit:
            return await store.forget(unit, days=KEPT_DAYS, limit=FORGOTTEN_AT_ONCE)

    async def _hold(self) -> Held | None:
        async with self._database.unit() as unit:
            return await store.hold(unit, self._holder, HOLD_SECONDS)

    async def _verify(self, held: Held, done: Counter[str]) -> bool:
        """False: something is left after all, or another replica ended it."""
        while unread := await self._unread(held):
            for snapshot in unread:
                await self._read_snapshot(held, snapshot, done)
            await self._hold()
        while window := await self._window(held):
            await self._read_window(held, window, done)
            await self._hold()
        await self._mark(held, done)
        async with self._database.unit() as unit:
            return await store.conclude(unit, held)

    async def _unread(self, held: Held) -> list[Unread]:
        async with self._database.reading() as connection:
            return await store.unread(connection, held.id, SNAPSHOTS_AT_ONCE)

    async def _window(self, held: Held) -> list[str]:
        async with self._database.reading() as connection:
            return await store.window_of_packs(connection, held.id, PACKS_AT_ONCE)

    # --- manifests ---------------------------------------------------------------------------

    async def _read_snapshot(self, held: Held, snapshot: Unread, done: Counter[str]) -> None:
        found: list[NewFinding] = []
        manifest: Manifest | None = None
        if not snapshot.gone:
            manifest, why = await self._checks.whole_manifest(snapshot)
            if manifest is None:
                found.append(NewFinding(snapshot.id, "", snapshot.manifest_key, 0, 0, why))
            if snapshot.spool_key is not None and (
                why := await self._checks.spool(snapshot.spool_key)
            ):
                found.append(NewFinding(snapshot.id, "", snapshot.spool_key, 0, 0, why))
        await failpoint("verification.manifest_read")
        if manifest is not None:
            found += await self._learn(snapshot, manifest)
        outcome = SnapshotOutcome.DAMAGED if found else SnapshotOutcome.READ
        if snapshot.gone:
            outcome = SnapshotOutcome.GONE
        async with self._database.unit() as unit:
            if await store.read(unit, held.id, snapshot.id, outcome, len(found)):
                await store.insert_findings(unit, held.id, found)
            if manifest is not None:
                keys = [pack.key for pack in manifest.packs]
                await store.enlist_packs(unit, held.id, keys)
        done["manifests"] += 1

    async def _learn(self, snapshot: Unread, manifest: Manifest) -> list[NewFinding]:
        """What a manifest needs is kept, whether or not its commit named it."""
        async with self._database.reading() as connection:
            known = await store.names(connection, snapshot.id)
        if known.issuperset(pack.key for pack in manifest.packs):
            return []
        _log.warning("packs_not_named", snapshot=str(snapshot.id))
        uploads = [Upload(key=one.key, purpose="pack", length=one.length) for one in manifest.packs]
        async with self._database.unit() as unit:
            unknown = packs.Unknown(
                id=snapshot.id,
                project_id=snapshot.project_id,
                session_id=snapshot.session_id,
                manifest_key=snapshot.manifest_key,
                manifest_sha256=snapshot.manifest_sha256,
                spool_key=snapshot.spool_key,
                damaged=snapshot.damaged,
            )
            gone = await packs.learn(unit, unknown, uploads)
        return [NewFinding(snapshot.id, "", key, 0, 0, "collected") for key in gone or ()]

    # --- packs -------------------------------------------------------------------------------

    async def _read_window(self, held: Held, keys: list[str], done: Counter[str]) -> None:
        async with self._database.reading() as connection:
            naming = await store.naming(connection, held.id, keys)
        wanted: dict[str, set[Stretch]] = {key: set() for key in keys}
        lengths: dict[str, set[int]] = {key: set() for key in keys}
        concerned: list[_Concerned] = []
        for one in naming:
            manifest, why = await self._checks.manifest(one.manifest_key, one.manifest_sha256)
            if manifest is None:
                concerned.append(_lost(one, why))
            else:
                await asyncio.to_thread(_gather, manifest, wanted, lengths)
        found = await asyncio.gather(
            *(self._checks.pack(key, wanted[key], lengths[key]) for key in keys)
        )
        await failpoint("verification.window_read")
        wrongs = {key: one.wrongs for key, one in zip(keys, found, strict=True) if one.wrongs}
        outcomes = {key: "damaged" if key in wrongs else "intact" for key in keys}
        lost = {one for ids, *_ in concerned for one in ids}
        still = [one for one in naming if lost.isdisjoint(one.ids)]
        concerned += await self._concerned(still, [w for each in wrongs.values() for w in each])
        try:
            async with self._database.unit() as unit:
                if await store.settle_packs(unit, held.id, outcomes) != set(keys):
                    raise _SettledBefore  # noqa: TRY301  # it rolls back
                await store.count_read(unit, held.id, sum(one.bytes_read for one in found))
                for ids, of_manifest, count in concerned:
                    await store.insert_findings(unit, held.id, _findings(ids, of_manifest))
                    await store.found(unit, held.id, dict.fromkeys(ids, count))
        except _SettledBefore:
            _log.info("window_settled_before", verification=str(held.id))
            return
        await failpoint("verification.window_settled")
        done["packs"] += len(keys)
        done["damaged_packs"] += len(wrongs)

    async def _concerned(self, naming: Sequence[Named], wrongs: list[Wrong]) -> "list[_Concerned]":
        """Of each manifest that names something wrong."""
        concerned: list[_Concerned] = []
        for one in naming if wrongs else ():
            manifest, why = await self._checks.manifest(one.manifest_key, one.manifest_sha256)
            if manifest is None:
                concerned.append(_lost(one, why))
                continue
            found, count = await asyncio.to_thread(hits, manifest, wrongs, MOST_FINDINGS)
            if count:
                concerned.append((one.ids, found, count))
        return concerned

    # --- marks -------------------------------------------------------------------------------

    async def _mark(self, held: Held, done: Counter[str]) -> None:
        while held.marks:
            async with self._database.reading() as connection:
                found = await store.unmarked(connection, held.id, SNAPSHOTS_AT_ONCE)
            if not found:
                return
            for snapshot in found:
                await self._mark_one(snapshot)
                await failpoint("verification.marked")
            done["damaged_snapshots"] += len(found)

    async def _mark_one(self, snapshot: Unmarked) -> None:
        async with self._database.unit() as unit:
            loaded = await session_states.lock(unit, [snapshot.session_id])
            state = loaded.states.get(snapshot.session_id)
            if await store.mark(unit, snapshot.id, snapshot.first) and state is not None:
                event = WorkspaceDamaged(
                    snapshot_id=snapshot.id,
                    head=state.session.head_snapshot_id == snapshot.id,
                    findings=snapshot.findings,
                    detail=snapshot.first,
                )
                state.tell(event, project=True)
                await session_saves.save(unit, loaded)


_Concerned = tuple[list[UUID], list[Hit], int]
"""Snapshots of one manifest, what of it is wrong, how much is."""


def _lost(named: Named, why: str) -> _Concerned:
    """It could be read before."""
    return named.ids, [Hit(b"", Wrong(named.manifest_key, why))], 1


def _gather(
    manifest: Manifest, wanted: dict[str, set[Stretch]], lengths: dict[str, set[int]]
) -> None:
    for pack in manifest.packs:
        if pack.key in lengths:
            lengths[pack.key].add(pack.length)
    for key, stretch in stretches(manifest, wanted.keys()):
        wanted[key].add(stretch)


def _findings(ids: Sequence[UUID], of_manifest: Sequence[Hit]) -> list[NewFinding]:
    return [
        NewFinding(
            snapshot_id,
            hit.path[:PATH_SHOWN].decode("utf-8", "backslashreplace"),
            hit.wrong.key,
            hit.wrong.offset,
            hit.wrong.length,
            hit.wrong.found,
        )
        for snapshot_id in ids
        for hit in of_manifest
    ]
