"""A fork of what is about to be collected, held at the worst moments."""

import asyncio
from uuid import UUID

import pytest

from chassis.errors import NotFound, Stale
from chassis.failpoints import arm, disarm_all
from chassis.ids import new_id
from chassis.objects import ObjectStore
from contracts.branches import ForkSession
from contracts.errors import Code
from contracts.sessions import Session
from control_plane.services.forks import Forks
from control_plane.services.idempotency import Ask, Idempotency
from control_plane.services.manifests import Manifests
from control_plane.store import branches
from tests.control_plane.collection.conftest import Collector
from tests.control_plane.collection.test_collection import all_there, collected
from tests.fixtures.barriers import Barrier
from tests.fixtures.deadlines import eventually
from tests.fixtures.guards import perhaps_without, query_of
from tests.fixtures.office import Office
from tests.fixtures.saved import Saved, Saver

FILES = {b"f%02d" % n: b"content %d" % n for n in range(14)}


@pytest.fixture
async def passing(office: Office, saver: Saver) -> Saved:
    """What a superseded worker saved aside: nothing else names its packs, and it may go."""
    session = await office.session()
    await saver.save(session, {b"head": b"1"})
    return await saver.save(session, FILES, kind="side", order_in_epoch=2)


async def fork(office: Office, objects: ObjectStore, of: Saved) -> Session:
    forks = Forks(office.database, Manifests(objects), idempotency=Idempotency(office.database))
    by: UUID = await office.value(
        "INSERT INTO users (id, name) VALUES ($1, 'u') RETURNING id", new_id()
    )
    ask = Ask(user_id=by, key=None, request_hash="")
    asked = ForkSession(snapshot_id=of.id)
    return (await forks.fork(ask, of.session_id, asked, by=by)).value


async def test_fork__of_what_went_since_it_was_read_makes_nothing(
    office: Office, replica: Office, objects: ObjectStore, collector: Collector, passing: Saved
) -> None:
    barrier = Barrier()
    arm("fork.read", barrier.action)
    forking = asyncio.create_task(fork(office, objects, passing))
    await barrier.reached()
    await collected(collector(at=replica))
    disarm_all()
    barrier.release()
    with pytest.raises(NotFound):
        await forking
    assert await office.value("SELECT count(*) FROM sessions") == 1


@pytest.mark.parametrize("guarded", [True, False])
async def test_fork__under_way_is_waited_for(
    office: Office,
    replica: Office,
    objects: ObjectStore,
    collector: Collector,
    passing: Saved,
    *,
    guarded: bool,
) -> None:
    """It has copied the snapshot, and not yet named its packs."""
    barrier = Barrier()
    arm("fork.copied", barrier.action)
    with perhaps_without(query_of(branches, "snapshot", " FOR SHARE", ""), guarded=guarded):
        forking = asyncio.create_task(fork(office, objects, passing))
        await barrier.reached()
        disarm_all()
        collecting = asyncio.create_task(collected(collector(at=replica)))
        if not guarded:
            await asyncio.wait_for(collecting, 20)
            barrier.release()
            with pytest.raises(Stale) as refused:
                await forking
            assert refused.value.code == Code.SNAPSHOT_PACKS_GONE, "the second guard"
            return
        await waited_for(office)
        barrier.release()
        made = await asyncio.wait_for(forking, 20)
        await asyncio.wait_for(collecting, 20)
    await collected(collector(at=replica))
    assert await office.value("SELECT count(*) FROM snapshots WHERE id = $1", passing.id) == 0
    assert await all_there(objects, passing), "the fork names them"
    head = "SELECT head_snapshot_id FROM sessions WHERE id = $1"
    named = "SELECT count(*) FROM snapshot_packs WHERE snapshot_id = $1"
    found = await office.value(named, await office.value(head, made.id))
    assert found == len(passing.packs) + 1


async def waited_for(office: Office) -> None:
    """Somebody waits for a lock."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    async def waits() -> bool:
        return await office.value(query) > 0

    await eventually(waits, "the collector did not wait")
