"""A commit that names packs against the collector that takes them, held at the worst moments."""

import asyncio

import msgspec
import pytest

from chassis.errors import NotFound
from chassis.failpoints import arm, disarm_all
from chassis.objects import ObjectStore
from contracts.spool import Reported
from control_plane.domain.packs import Retention
from control_plane.store import collection, packs
from tests.control_plane.collection.conftest import Collector
from tests.fixtures.barriers import Barrier
from tests.fixtures.berth import Berth
from tests.fixtures.guards import perhaps_without, query_of
from tests.fixtures.office import Office
from tests.fixtures.saved import Saver

UNNAMED = "\n  AND NOT EXISTS (SELECT FROM snapshot_packs n WHERE n.pack_key = packs.key)"
"""The guard of whoever collects: looked at under the rows' locks."""

OF_PACKS = Retention(checkpoints=0, sides=0, condemn=3600, delete=0)
"""Takes what is condemned, and condemns nothing that was uploaded just now."""


class Save:
    """An executor's save: uploaded, and not yet committed."""

    def __init__(self, office: Office, berth: Berth, pack: str, manifest: str) -> None:
        self._office = office
        self._berth = berth
        self.pack = pack
        entry = berth.snapshot()
        draft = msgspec.structs.replace(entry.snapshot, packs=[pack], manifest_key=manifest)
        self._entry = msgspec.structs.replace(entry, snapshot=draft)

    async def commit(self) -> Reported:
        return await self._office.report(self._berth, self._entry)

    async def kept(self, objects: ObjectStore) -> bool:
        """What the head names can be read."""
        try:
            await objects.head(self.pack)
        except NotFound:
            return False
        return True


@pytest.fixture
async def save(office: Office, saver: Saver) -> Save:
    session, host = await office.session(), await office.host()
    berth = await office.running(session, host)
    pack = await saver.upload(session, b"content")
    return Save(office, berth, pack, await saver.upload(session, b"manifest", "manifest"))


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("place", ["collection.before_give_up", "collection.looked"])
async def test_commit__between_looking_and_collecting_is_not_taken_from(
    office: Office,
    replica: Office,
    objects: ObjectStore,
    collector: Collector,
    save: Save,
    *,
    place: str,
    guarded: bool,
) -> None:
    """`looked`: it is chosen to be condemned; `before_give_up`: to be deleted."""
    barrier = Barrier()
    arm(place, barrier.action)
    removals = [query_of(collection, name, UNNAMED, "") for name in ("condemn", "give_up")]
    pardon = query_of(packs, "pardon", "condemned_at = NULL", "condemned_at = condemned_at")
    with perhaps_without(*removals, pardon, guarded=guarded):
        collecting = asyncio.create_task(collector(at=replica).run_once())
        await barrier.reached()
        assert (await save.commit()).refused == []
        disarm_all()
        barrier.release()
        await asyncio.wait_for(collecting, 20)
    assert await save.kept(objects) is guarded


@pytest.mark.parametrize("guarded", [True, False])
async def test_commit__under_way_is_waited_for(
    office: Office,
    replica: Office,
    objects: ObjectStore,
    collector: Collector,
    save: Save,
    *,
    guarded: bool,
) -> None:
    """Its transaction has looked at the pack and has not named it yet."""
    barrier = Barrier()
    arm("report.packs_locked", barrier.action)
    with perhaps_without(query_of(packs, "lock", " FOR NO KEY UPDATE", ""), guarded=guarded):
        committing = asyncio.create_task(save.commit())
        await barrier.reached()
        await asyncio.wait_for(collector(at=replica).run_once(), 20)
        disarm_all()
        barrier.release()
        refused = (await asyncio.wait_for(committing, 20)).refused
    assert refused == []
    assert await save.kept(objects) is guarded
    if guarded:
        await collector(at=replica).run_once()
        assert await save.kept(objects)


@pytest.mark.parametrize("guarded", [True, False])
async def test_commit__of_what_is_about_to_be_deleted_is_refused(
    office: Office,
    replica: Office,
    objects: ObjectStore,
    collector: Collector,
    save: Save,
    *,
    guarded: bool,
) -> None:
    """It is given up, and stands in the store for another moment."""
    barrier = Barrier()
    arm("collection.given_up", barrier.action)
    gone = query_of(packs, "lock", "gone_at IS NOT NULL AS gone", "false AS gone")
    with perhaps_without(gone, guarded=guarded):
        collecting = asyncio.create_task(collector(at=replica).run_once())
        await barrier.reached()
        answer = await save.commit()
        disarm_all()
        barrier.release()
        await asyncio.wait_for(collecting, 20)
    assert not await save.kept(objects)
    head = await office.value("SELECT count(*) FROM snapshots")
    assert [one.code for one in answer.refused] == (["snapshot_packs_gone"] if guarded else [])
    assert head == (0 if guarded else 1), "a head that names what is gone"


async def test_commits__of_the_same_packs_and_their_collector_never_wait_in_a_circle(
    office: Office, replica: Office, saver: Saver, objects: ObjectStore, collector: Collector
) -> None:
    """Forks of one session, that name its packs in whatever order; each commit is taken."""
    host = await office.host()
    origin = await office.session()
    project = await saver.project_of(origin)
    keys = [await saver.upload(origin, b"%d" % n) for n in range(20)]
    berths = [await office.running(await office.session(project), host) for _ in range(4)]
    await office.execute("UPDATE packs SET condemned_at = now()")

    async def commit(number: int, berth: Berth) -> Reported:
        entry = berth.snapshot()
        manifest = await saver.upload(berth.grant.session_id, b"m", "manifest")
        named = keys if number % 2 else keys[::-1]
        draft = msgspec.structs.replace(entry.snapshot, packs=named, manifest_key=manifest)
        at = office if number < 2 else replica
        entry = msgspec.structs.replace(entry, snapshot=draft)
        return await at.report(berth, entry)

    await office.execute(
        "INSERT INTO snapshots (id, project_id, session_id, epoch, source_seq, type, manifest_key,"
        " manifest_sha256, packs_known) SELECT gen_random_uuid(), project_id, id, 0, 0,"
        " 'acknowledged', 'm', '0', true FROM sessions"
    )
    await office.execute(
        "INSERT INTO snapshot_packs (snapshot_id, pack_key)"
        " SELECT s.id, p.key FROM snapshots s, packs p WHERE p.purpose = 'pack'"
    )
    async with asyncio.timeout(30):
        answers = await asyncio.gather(
            *(commit(number, berth) for number, berth in enumerate(berths)),
            collector(OF_PACKS, at=replica).run_once(),
        )
    assert [one.refused for one in answers if isinstance(one, Reported)] == [[]] * 4
    assert await office.value("SELECT count(*) FROM packs WHERE gone_at IS NOT NULL") == 0
