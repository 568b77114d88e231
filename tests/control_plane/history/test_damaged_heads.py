"""What stands in for a damaged head, whichever way the head was made; and what copies of it say."""

import asyncio
from typing import Any
from uuid import UUID

from chassis.failpoints import arm, disarm_all
from contracts.snapshots import SnapshotKind
from tests.control_plane.history.desk import Desk
from tests.control_plane.history.test_trees import tar
from tests.fixtures.barriers import Barrier
from tests.fixtures.berth import Berth
from tests.fixtures.control_plane import Plane


async def damage(desk: Desk, snapshot: UUID | str) -> None:
    await desk.office.execute(
        "UPDATE snapshots SET damaged_at = now(), damage = 'a pack: missing' WHERE id = $1",
        UUID(str(snapshot)),
    )


async def plan(plane: Plane, berth: Berth) -> dict[str, Any]:
    answer = await plane.http.post(
        f"/internal/v1/workers/{berth.grant.worker_id}/restore",
        json={"epoch": berth.grant.epoch},
        headers={"Authorization": f"Bearer {berth.grant.token}"},
    )
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def points(plan: dict[str, Any]) -> list[str]:
    return [one["snapshot_id"] for one in plan["points"]]


async def test_a_sent_tree__what_it_replaced_stands_in(plane: Plane, desk: Desk) -> None:
    """Both are of one epoch: no worker was there between them."""
    session = await desk.session()
    older = await desk.turn(session, "one", {b"a": b"1"})
    await desk.stop(older.berth)
    newer = await desk.turn(session, "two", {b"a": b"2"})
    await desk.stop(newer.berth)
    first = await send(desk, session, b"3")
    second = await send(desk, session, b"4")
    await damage(desk, second)
    berth = await desk.begin(session, "three")
    assert points(await plan(plane, berth)) == [first, second]
    await damage(desk, first)
    assert points(await plan(plane, berth)) == [str(newer.snapshot_id), second]
    await damage(desk, newer.snapshot_id)
    assert points(await plan(plane, berth)) == [str(older.snapshot_id), second]


async def send(desk: Desk, session: UUID, content: bytes) -> str:
    answer = await desk.http.post(
        f"/api/v1/sessions/{session}/workspace/import",
        content=tar({b"a": content}),
        headers={"Content-Type": "application/x-tar"},
    )
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["snapshot_id"]
    return made


async def test_a_checkpoint_that_became_the_head__what_it_was_based_on_stands_in(
    plane: Plane, desk: Desk
) -> None:
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    berth = await desk.begin(session, "two")
    assert berth.grant.epoch == first.berth.grant.epoch
    checkpoint = await desk.save(berth, {b"a": b"half"}, SnapshotKind.CHECKPOINT)
    await desk.office.report(berth, checkpoint)
    saved = await desk.save(berth, {b"a": b"whole"})
    await desk.office.report(berth, saved, berth.finish())
    await desk.stop(berth)
    head = (await desk.roll_back(session, checkpoint.snapshot.id))["head_snapshot_id"]
    for one in (head, checkpoint.snapshot.id):
        await damage(desk, one)
    begun = await desk.begin(session, "three")
    assert points(await plan(plane, begun)) == [str(first.snapshot_id), head]


async def test_a_checkpoint_on_the_way__is_nearer_than_what_it_was_based_on(
    plane: Plane, desk: Desk
) -> None:
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    berth = await desk.begin(session, "two")
    near = await desk.save(berth, {b"a": b"half"}, SnapshotKind.CHECKPOINT)
    await desk.office.report(berth, near)
    saved = await desk.save(berth, {b"a": b"whole"})
    await desk.office.report(berth, saved, berth.finish())
    after = await desk.begin(session, "three")
    late = await desk.save(after, {b"a": b"later"}, SnapshotKind.CHECKPOINT)
    await desk.office.report(after, late)
    await damage(desk, saved.snapshot.id)
    found = points(await plan(plane, first.berth))
    assert found == [str(near.snapshot.id), str(saved.snapshot.id)]


async def test_damaged__nobody_goes_on_from_it(desk: Desk) -> None:
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    await desk.stop(first.berth)
    await damage(desk, first.snapshot_id)
    body = {"snapshot_id": str(first.snapshot_id)}
    for call in ("fork", "rollback"):
        refused = await desk.post(f"sessions/{session}/{call}", body, 409)
        assert refused["code"] == "snapshot_damaged"
        assert "choose an earlier one" in refused["detail"]


async def test_a_copy__is_as_damaged_as_what_it_is_a_copy_of(plane: Plane, desk: Desk) -> None:
    """What is found while it is forked."""
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    barrier = Barrier()
    arm("fork.read", barrier.action)
    forking = asyncio.create_task(desk.fork(session))
    await barrier.reached()
    disarm_all()
    await damage(desk, first.snapshot_id)
    barrier.release()
    fork = await forking
    (copy,) = (await desk.get(f"sessions/{fork}/snapshots"))["items"]
    assert copy["damaged"]
    begun = await desk.begin(fork, "two")
    assert (await plan(plane, begun))["damaged"] == [copy["id"]]
    why = await desk.office.value("SELECT damage FROM snapshots WHERE id = $1", UUID(copy["id"]))
    assert why == "a pack: missing"
