"""A session goes back: its files, what later runs know, and nothing is lost."""

import asyncio
from uuid import UUID

import msgspec

from chassis.failpoints import arm, disarm_all
from contracts.human_loop import RequestState
from contracts.snapshots import SnapshotKind
from control_plane.services.rollbacks import Rollbacks
from tests.control_plane.history.desk import Desk
from tests.control_plane.races.test_fences import retried
from tests.fixtures.barriers import Barrier
from tests.fixtures.control_plane import Caller, Plane
from tests.fixtures.deadlines import eventually


async def head_of(desk: Desk, session: UUID) -> str:
    return (await desk.get(f"sessions/{session}"))["head_snapshot_id"]


async def refusal(desk: Desk, session: UUID, snapshot: UUID, status: int = 409) -> str:
    return (await desk.roll_back(session, snapshot, status))["code"]


async def test_rollback__files_conversation_and_the_log(desk: Desk) -> None:
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    second = await desk.turn(session, "two", {b"a": b"2"})
    await desk.stop(second.berth)
    now = await desk.roll_back(session, first.snapshot_id)
    assert now["head_snapshot_id"] == str(first.snapshot_id)
    assert await desk.texts(session) == ["one", "said: one"]
    berth = await desk.begin(session, "three")
    assert berth.head == first.snapshot_id, "what the next save is based on"
    told = await desk.told(berth)
    assert (told.runs, told.left_out, "two" in told.text) == (1, 0, False)
    log = await desk.get(f"sessions/{session}/events", kind="session.rolled_back")
    (event,) = [one["event"] for one in log["items"]]
    assert event["snapshot_id"] == str(first.snapshot_id)
    assert event["former_head"] == str(second.snapshot_id)
    listed = (await desk.get(f"sessions/{session}/snapshots"))["items"]
    assert {one["id"] for one in listed} >= {str(second.snapshot_id), str(first.snapshot_id)}
    runs = (await desk.get("runs", session_id=str(session)))["items"]
    assert len(runs) == 3, "nothing is deleted"


async def test_rollback__of_a_rollback(desk: Desk) -> None:
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    second = await desk.turn(session, "two", {b"a": b"2"})
    await desk.stop(second.berth)
    await desk.roll_back(session, first.snapshot_id)
    third = await desk.turn(session, "three", {b"a": b"3"})
    await desk.stop(third.berth)
    assert await desk.texts(session) == ["one", "said: one", "three", "said: three"]
    await desk.roll_back(session, second.snapshot_id)
    assert await desk.texts(session) == ["one", "said: one", "two", "said: two"]
    assert await head_of(desk, session) == str(second.snapshot_id)
    fork = await desk.fork(session, third.snapshot_id)
    assert await desk.texts(fork) == ["one", "said: one", "three", "said: three"]
    berth = await desk.begin(session, "four")
    told = (await desk.told(berth)).text
    assert "said: two" in told
    assert "three" not in told


async def test_rollback__releases_the_worker_first(desk: Desk) -> None:
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    second = await desk.turn(session, "two", {b"a": b"2"})
    going = asyncio.create_task(desk.roll_back(session, first.snapshot_id))

    async def stopping() -> bool:
        query = "SELECT count(*) FROM commands WHERE type = 'stop' AND session_id = $1"
        return await desk.office.value(query, session) == 1

    await eventually(stopping, "its worker was not told to stop")
    assert not going.done()
    assert await head_of(desk, session) == str(second.snapshot_id)
    last = await desk.save(second.berth, {b"a": b"edited in a terminal"})
    await desk.office.report(second.berth, last)
    await desk.stop(second.berth)
    assert (await going)["head_snapshot_id"] == str(first.snapshot_id)
    listed = (await desk.get(f"sessions/{session}/snapshots"))["items"]
    assert listed[0]["id"] == str(last.snapshot.id), "what it saved last is listed"
    await desk.roll_back(session, last.snapshot.id)
    assert await desk.texts(session) == ["one", "said: one", "two", "said: two"]


async def test_rollback__says_when_the_worker_stays(plane: Plane, desk: Desk) -> None:
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    rollbacks: Rollbacks = plane.app.services.rollbacks
    rollbacks._release_seconds, usual = 0.2, rollbacks._release_seconds
    try:
        assert await refusal(desk, session, first.snapshot_id) == "worker_not_released"
    finally:
        rollbacks._release_seconds = usual
    barrier = Barrier()
    arm("rollback.waits", barrier.action)
    going = asyncio.create_task(refusal(desk, session, first.snapshot_id))
    await barrier.reached()
    disarm_all()
    await desk.office.report(first.berth, first.berth.stop_failed())
    barrier.release()
    assert await going == "worker_not_released"


async def test_rollback__is_refused_while_a_run_is_live_or_queued(desk: Desk) -> None:
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    queued = await desk.office.send(session)
    assert await refusal(desk, session, first.snapshot_id) == "session_busy"
    berth = await desk.office.claim(desk.host)
    assert berth.run_id == queued
    await desk.office.report(berth, berth.started())
    assert await refusal(desk, session, first.snapshot_id) == "session_busy"
    saved = await desk.save(berth, {b"a": b"2"})
    await desk.office.report(berth, saved, berth.finish())
    await desk.stop(berth)
    stale = {"snapshot_id": str(first.snapshot_id), "expected_head": str(first.snapshot_id)}
    moved = await desk.post(f"sessions/{session}/rollback", stale, 409)
    assert moved["code"] == "head_moved"
    await desk.http.patch(f"/api/v1/sessions/{session}", json={"archived": True})
    assert await refusal(desk, session, first.snapshot_id) == "session_archived"


async def test_rollback__to_a_checkpoint_makes_it_the_head(desk: Desk) -> None:
    session = await desk.session()
    berth = await desk.begin(session, "long work")
    await desk.say(berth, "first half")
    checkpoint = await desk.save(berth, {b"a": b"half"}, SnapshotKind.CHECKPOINT)
    await desk.office.report(berth, checkpoint)
    await desk.say(berth, "second half")
    saved = await desk.save(berth, {b"a": b"whole"})
    await desk.office.report(berth, saved, berth.finish())
    await desk.stop(berth)
    await desk.roll_back(session, checkpoint.snapshot.id)
    head, *others = (await desk.get(f"sessions/{session}/snapshots"))["items"]
    assert (head["head"], head["type"]) == (True, "acknowledged")
    assert str(checkpoint.snapshot.id) in {one["id"] for one in others}
    assert await desk.texts(session) == ["long work", "first half"]
    page = await desk.get(
        f"sessions/{session}/snapshots/{checkpoint.snapshot.id}/diff", to=head["id"]
    )
    assert page["items"] == []
    fork = await desk.fork(session)
    assert await desk.texts(fork) == ["long work", "first half"]


async def test_rollback__to_what_a_superseded_worker_saved(plane: Plane, desk: Desk) -> None:
    session = await desk.session()
    berth = await desk.begin(session, "one")
    await desk.say(berth, "first half")
    await desk.office.expire(berth)
    await desk.office.rescue.reclaim()
    again = await retried(desk.office, desk.host)
    await desk.office.report(again, again.started())
    await desk.say(again, "another half")
    saved = await desk.save(again, {b"a": b"2"})
    await desk.office.report(again, saved, again.finish())
    await desk.stop(again)
    side = await desk.save(berth, {b"a": b"aside"}, SnapshotKind.SIDE)
    committed = await plane.http.post(
        f"/internal/v1/workers/{berth.grant.worker_id}/side-snapshot",
        json={"snapshot": msgspec.to_builtins(side.snapshot)},
        headers={"Authorization": f"Bearer {berth.grant.token}"},
    )
    assert committed.status_code == 200, committed.text
    await desk.roll_back(session, side.snapshot.id)
    texts = await desk.texts(session)
    assert texts[:2] == ["one", "first half"]
    assert "another half" not in texts


async def test_rollback__nobody_answers_what_is_left_behind(desk: Desk) -> None:
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    second = await desk.turn(session, "two", {b"a": b"2"})
    await desk.stop(second.berth)
    asked = await desk.office.value(
        "INSERT INTO human_loop_requests (id, project_id, session_id, run_id, attempt, ask_id,"
        " type, input_hash, answer_to) SELECT gen_random_uuid(), project_id, session_id, id, 1,"
        " gen_random_uuid(), 'question', '', 'message' FROM runs WHERE id = $1 RETURNING id",
        second.run_id,
    )
    await desk.roll_back(session, first.snapshot_id)
    query = "SELECT state::text FROM human_loop_requests WHERE id = $1"
    assert await desk.office.value(query, asked) == RequestState.WITHDRAWN


async def test_rollback__for_whom(
    desk: Desk, viewer: Caller, stranger: Caller, member: Caller
) -> None:
    session, other = await desk.session(), await desk.session()
    turn = await desk.turn(session, "one", {b"a": b"1"})
    await desk.stop(turn.berth)
    path, body = f"/api/v1/sessions/{session}/rollback", {"snapshot_id": str(turn.snapshot_id)}
    assert (await viewer.http.post(path, json=body)).status_code == 403
    assert (await stranger.http.post(path, json=body)).status_code == 404
    foreign = await desk.http.post(f"/api/v1/sessions/{other}/rollback", json=body)
    assert (foreign.status_code, foreign.json()["code"]) == (404, "snapshot_not_found")
    key = {"Idempotency-Key": "once"}
    first = await member.http.post(path, json=body, headers=key)
    again = await member.http.post(path, json=body, headers=key)
    assert (first.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert await desk.office.value("SELECT count(*) FROM branches") == 1
    query = "SELECT count(*) FROM audit WHERE action = 'session.roll_back'"
    assert await desk.office.value(query) == 1
