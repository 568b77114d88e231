"""What is collected and what never is: rows, the real object store, and what old snapshots name."""

from uuid import UUID, uuid4

import msgspec
import pytest

from chassis.errors import DependencyUnavailable, NotFound, Stale
from chassis.failpoints import FailpointReached, arm, disarm_all
from chassis.objects import ObjectStore
from contracts.errors import Code
from contracts.snapshots import SnapshotKind
from control_plane.domain.packs import Retention
from control_plane.services.collection import Collection
from control_plane.store import packs
from tests.control_plane.collection.conftest import Collector
from tests.fixtures.office import Office
from tests.fixtures.saved import Saved, Saver

FILES = {b"f%02d" % n: b"content %d" % n for n in range(14)}
KEEPS = Retention(checkpoints=0, sides=0, condemn=3600, delete=3600)


async def there(objects: ObjectStore, key: str) -> bool:
    try:
        await objects.head(key)
    except NotFound:
        return False
    return True


async def all_there(objects: ObjectStore, saved: Saved) -> bool:
    return all([await there(objects, key) for key in (*saved.keys, saved.manifest_key)])


async def collected(collection: Collection) -> None:
    """As many passes as it can take."""
    for _ in range(4):
        await collection.run_once()


async def test_unnamed__goes_in_two_steps_and_named_stays(
    office: Office, saver: Saver, objects: ObjectStore, collector: Collector
) -> None:
    session = await office.session()
    saved = await saver.save(session, FILES)
    left = await saver.upload(session, b"nobody's")
    assert (await collector(KEEPS).run_once())["condemned"] == 0
    counts = await collector().run_once()
    assert (counts["condemned"], counts["given_up"], counts["deleted"]) == (1, 1, 1)
    assert not await there(objects, left)
    assert await all_there(objects, saved)
    assert await office.value("SELECT deleted_at IS NOT NULL FROM packs WHERE key = $1", left)
    await office.execute("UPDATE packs SET deleted_at = deleted_at - interval '2 hours'")
    assert (await collector().run_once())["forgotten"] == 1
    assert await office.value("SELECT count(*) FROM packs") == len(saved.packs) + 1


async def test_condemned__that_is_named_again_stays(
    office: Office, saver: Saver, objects: ObjectStore, collector: Collector
) -> None:
    session = await office.session()
    first = await saver.save(session, FILES)
    await office.execute("DELETE FROM snapshot_packs")
    await collector(Retention(checkpoints=0, sides=0, condemn=0, delete=3600)).run_once()
    condemned = "SELECT count(*) FROM packs WHERE condemned_at IS NOT NULL"
    assert await office.value(condemned) == len(first.packs) + 1
    second = await saver.save(session, FILES, base=first)
    await collected(collector())
    assert await all_there(objects, second)
    assert not await there(objects, first.manifest_key), "nothing named it any more"


async def test_gone__is_refused_to_whoever_names_it(
    office: Office, saver: Saver, collector: Collector
) -> None:
    session = await office.session()
    base = await saver.save(session, FILES)
    await office.execute("DELETE FROM snapshot_packs")
    await collected(collector())
    with pytest.raises(Stale) as refused:
        await saver.save(session, FILES, base=base)
    assert refused.value.code == Code.SNAPSHOT_PACKS_GONE


async def test_commit__that_names_what_is_gone_or_not_its_own_is_refused(
    office: Office, saver: Saver, collector: Collector
) -> None:
    session, host = await office.session(), await office.host()
    await collector(KEEPS).run_once()  # from now on what has no row is not named
    berth = await office.running(session, host)
    project = await saver.project_of(session)
    elsewhere = await saver.upload(await office.session(project), b"another session's")
    foreign = await saver.upload(await office.session(), b"another project's")
    own, manifest = (
        await saver.upload(session, b"own"),
        await saver.upload(session, b"m", "manifest"),
    )
    gone = await saver.upload(session, b"gone")
    await office.execute(
        "UPDATE packs SET condemned_at = now(), gone_at = now() WHERE key = $1", gone
    )
    for named, code in (
        ([own, gone], "snapshot_packs_gone"),
        ([own, elsewhere], "snapshot_packs_gone"),
        ([own, manifest.replace(".manifest", ".pack")], "snapshot_packs_gone"),
        ([own, foreign], "forbidden"),
        ([own, "p/\0"], "forbidden"),
        ([own], None),
    ):
        entry = berth.snapshot(SnapshotKind.CHECKPOINT)
        draft = msgspec.structs.replace(entry.snapshot, packs=named, manifest_key=manifest)
        answer = await office.report(berth, msgspec.structs.replace(entry, snapshot=draft))
        assert [one.code for one in answer.refused] == ([code] if code else []), named
    names = await office.fetch("SELECT pack_key FROM snapshot_packs")
    assert {one["pack_key"] for one in names} == {own, manifest}


async def test_fork__keeps_what_its_origin_is_deleted_with(
    office: Office, saver: Saver, objects: ObjectStore, collector: Collector
) -> None:
    origin = await office.session()
    saved = await saver.save(origin, FILES)
    fork = await office.session(await saver.project_of(origin))
    forked = await saver.save(fork, FILES, base=saved)
    await office.execute("DELETE FROM streams WHERE id = $1", origin)
    await collected(collector())
    assert await all_there(objects, forked)
    assert not await there(objects, saved.manifest_key)
    await office.execute("DELETE FROM streams WHERE id = $1", fork)
    await collected(collector())
    assert await objects.list("p/") == []


async def test_deleted_project__leaves_nothing(
    office: Office, saver: Saver, objects: ObjectStore, collector: Collector
) -> None:
    session = await office.session()
    await saver.save(session, FILES)
    await office.execute("DELETE FROM projects WHERE id = $1", await saver.project_of(session))
    await collected(collector())
    assert await objects.list("p/") == []


async def test_older_snapshots__are_read_before_anything_is_condemned(
    office: Office, saver: Saver, objects: ObjectStore, collector: Collector
) -> None:
    saved = await saver.save(await office.session(), FILES, named=False)
    await office.execute("DELETE FROM packs")
    arm("pack_lists.read", _stop)
    with pytest.raises(FailpointReached):
        await collector().run_once()
    disarm_all()
    assert await office.value("SELECT packs_known_at FROM collections") is None
    await collected(collector())
    assert await all_there(objects, saved)
    names = await office.fetch("SELECT pack_key FROM snapshot_packs")
    assert {one["pack_key"] for one in names} == {*saved.keys, saved.manifest_key}
    assert await office.value("SELECT packs_known_at FROM collections") is not None


async def test_older_snapshot__that_cannot_be_read_keeps_all_of_its_project(
    office: Office, saver: Saver, objects: ObjectStore, collector: Collector
) -> None:
    broken = await saver.save(await office.session(), FILES, named=False)
    stored = await objects.get(broken.manifest_key)
    await objects.put(broken.manifest_key, stored[:-1] + b"?")
    elsewhere = await saver.upload(await office.session(), b"nobody's")
    await collected(collector())
    assert await all_there(objects, broken)
    assert not await there(objects, elsewhere), "another project's is collected"
    assert (
        await office.value("SELECT damage FROM snapshots") == "its manifest is not what was saved"
    )
    await objects.put(broken.manifest_key, stored)
    await collected(collector())
    assert await office.value("SELECT packs_known FROM snapshots")


async def test_rowless__objects_go_the_same_way_and_others_are_left_alone(
    office: Office, saver: Saver, objects: ObjectStore, collector: Collector
) -> None:
    session = await office.session()
    key = await saver.upload(session, b"rolled back")
    others = [f"p/{uuid4().hex}/f/file", "p/something"]
    for other in others:
        await objects.put(other, b"not ours to collect")
    await office.execute("DELETE FROM packs")
    counts = await collector().run_once()
    assert (counts["adopted"], counts["deleted"]) == (1, 0)
    await collected(collector())
    assert not await there(objects, key)
    assert {one.key for one in await objects.list("p/")} == set(others)


async def test_late_upload__is_deleted_again(
    office: Office, saver: Saver, objects: ObjectStore, collector: Collector
) -> None:
    key = await saver.upload(await office.session(), b"unnamed")
    await collected(collector())
    await objects.put(key, b"late")
    await office.execute("UPDATE packs SET deleted_at = deleted_at - interval '20 minutes'")
    await collected(collector())
    assert not await there(objects, key)


async def _ended_run(office: Office, session: UUID) -> UUID:
    run = await office.send(session)
    await office.execute(
        "UPDATE runs SET state = 'succeeded', finished_at = now() - interval '1 s' WHERE id = $1",
        run,
    )
    return run


async def test_checkpoints__go_when_their_run_has_ended_but_not_what_may_be_needed(
    office: Office, saver: Saver, collector: Collector
) -> None:
    session = await office.session()
    run = await _ended_run(office, session)
    old = await saver.save(session, FILES, kind="checkpoint", run_id=run, order_in_epoch=1)
    side = await saver.save(session, FILES, kind="side", order_in_epoch=0)
    after = await saver.save(session, FILES, order_in_epoch=2)
    last = await saver.save(session, FILES, kind="checkpoint", run_id=run, order_in_epoch=3)
    live = await office.session()
    going = await saver.save(live, FILES, kind="checkpoint", run_id=await office.send(live))
    beyond = await saver.save(live, FILES, order_in_epoch=2)
    hurt = await office.session()
    kept = await saver.save(hurt, FILES, kind="checkpoint", run_id=await _ended_run(office, hurt))
    head = await saver.save(hurt, FILES, order_in_epoch=2)
    await office.execute("UPDATE snapshots SET damaged_at = now() WHERE id = $1", head.id)
    assert (await collector().run_once())["snapshots"] == 2
    left = {one["id"] for one in await office.fetch("SELECT id FROM snapshots")}
    assert left == {after.id, last.id, going.id, beyond.id, kept.id, head.id}
    assert not left & {old.id, side.id}


async def test_checkpoint__that_is_a_head_stays(
    office: Office, saver: Saver, collector: Collector
) -> None:
    session = await office.session()
    saved = await saver.save(session, FILES, kind="side")
    await office.execute("UPDATE sessions SET head_snapshot_id = $1", saved.id)
    await collected(collector())
    assert await office.value("SELECT count(*) FROM snapshots") == 1


async def test_two_collectors__one_at_a_time(office: Office, collector: Collector) -> None:
    await office.execute(
        "INSERT INTO collections (holder, held_until) VALUES ($1, now() + interval '1 hour')",
        uuid4(),
    )
    assert await collector().run_once() == {}
    await office.execute("UPDATE collections SET held_until = now() - interval '1 s'")
    assert "condemned" in await collector().run_once(), "the other one died"


@pytest.mark.parametrize(
    "place",
    [
        "collection.looked",
        "collection.condemned",
        "collection.before_give_up",
        "collection.give_up_locked",
        "collection.given_up",
        "collection.objects_deleted",
        "collection.deleted",
        "collection.adopted",
        "pack_lists.learned",
    ],
)
async def test_crash__at_every_step_is_carried_on(
    office: Office, saver: Saver, objects: ObjectStore, collector: Collector, place: str
) -> None:
    session = await office.session()
    saved = await saver.save(session, FILES)
    older = await saver.save(session, FILES, named=False)
    left = await saver.upload(session, b"nobody's")
    arm(place, _stop)
    with pytest.raises(FailpointReached):
        await collected(collector())
    disarm_all()
    await collected(collector())
    assert not await there(objects, left)
    assert await all_there(objects, saved)
    assert await all_there(objects, older)


async def test_store__that_is_away_or_refuses_some_is_asked_again(
    office: Office, saver: Saver, objects: ObjectStore, monkeypatch: pytest.MonkeyPatch,
    collector: Collector,
) -> None:  # fmt: skip
    session = await office.session()
    keys = [await saver.upload(session, b"nobody's") for _ in range(3)]
    real, asked = objects.delete_many, list[int]()

    async def busy(wanted: list[str]) -> list[str]:
        asked.append(len(wanted))
        if len(asked) == 1:
            raise DependencyUnavailable("object_store", "it answered SlowDown")
        return await real(wanted[1:]) + wanted[:1] if len(asked) < 4 else await real(wanted)

    monkeypatch.setattr(objects, "delete_many", busy)
    assert (await collector().run_once())["deleted"] == 3
    assert asked == [3, 3, 1, 1]
    assert not any([await there(objects, key) for key in keys])


async def test_name_for__adds_the_manifest_and_knows_its_project(
    office: Office, saver: Saver
) -> None:
    saved = await saver.save(await office.session(), FILES)
    foreign = await saver.upload(await office.session(), b"another project's")
    async with office.database.unit() as unit:
        with pytest.raises(Stale):
            await packs.name_for(unit, saved.id, [foreign])
        with pytest.raises(NotFound):
            await packs.name_for(unit, uuid4(), [])
    names = await office.fetch("SELECT pack_key FROM snapshot_packs")
    assert {one["pack_key"] for one in names} == {*saved.keys, saved.manifest_key}


def _stop() -> None:
    raise FailpointReached("here")
