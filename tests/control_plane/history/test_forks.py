"""A session goes on from another one's snapshot: files and conversation, nothing copied."""

import asyncio
from uuid import uuid4

from contracts.snapshots import SnapshotKind
from tests.control_plane.history.desk import Desk
from tests.fixtures.control_plane import Caller, Plane


async def keys_of(desk: Desk) -> set[str]:
    return {one.key for one in await desk.saver._objects.list(f"p/{desk.project.hex}/")}


async def test_list__says_what_changed(desk: Desk) -> None:
    session = await desk.session()
    turn = await desk.turn(session, "one", {b"a": b"1"})
    (listed,) = (await desk.get(f"sessions/{session}/snapshots"))["items"]
    assert listed["id"] == str(turn.snapshot_id)
    assert listed["run_id"] == str(turn.run_id)
    assert (listed["files"], listed["bytes"]) == (1, 1)
    assert (listed["added"], listed["changed"], listed["removed"]) == (3, 2, 1)
    assert listed["head"]


async def test_fork__has_the_files_and_the_conversation_up_to_there(desk: Desk) -> None:
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    await desk.turn(session, "two", {b"a": b"2"})
    before = await keys_of(desk)
    fork = await desk.fork(session, first.snapshot_id, title="another way")
    assert await keys_of(desk) == before, "nothing is copied"
    made = await desk.get(f"sessions/{fork}")
    assert made["title"] == "another way"
    assert made["forked_from"] == {
        "session_id": str(session),
        "snapshot_id": str(first.snapshot_id),
        "run_id": str(first.run_id),
    }
    assert await desk.texts(fork) == ["one", "said: one"]
    assert await desk.texts(session) == ["one", "said: one", "two", "said: two"]
    (copy,) = (await desk.get(f"sessions/{fork}/snapshots"))["items"]
    page = await desk.get(f"sessions/{fork}/snapshots/nothing/diff")
    assert [(one["path"], one["after"]["size"]) for one in page["items"]] == [("a", 1)]
    assert copy["head"]
    berth = await desk.begin(fork, "three")
    told = await desk.told(berth)
    assert (told.runs, "said: one" in told.text, "two" in told.text) == (1, True, False)


async def test_fork__of_a_fork_and_of_its_first_snapshot(desk: Desk) -> None:
    session = await desk.session()
    await desk.turn(session, "one", {b"a": b"1"})
    fork = await desk.fork(session)
    bare = await desk.fork(fork)
    assert await desk.texts(bare) == ["one", "said: one"]
    await desk.turn(fork, "two", {b"a": b"2"})
    second = await desk.fork(fork)
    await desk.turn(session, "elsewhere", {b"a": b"x"})
    berth = await desk.begin(second, "three")
    assert await desk.texts(second) == ["one", "said: one", "two", "said: two", "three"]
    told = await desk.told(berth)
    assert (told.runs, told.left_out) == (2, 0)
    assert told.text.index("said: one") < told.text.index("said: two")
    assert "elsewhere" not in told.text


async def test_fork__in_the_middle_of_a_run_knows_its_first_half(desk: Desk) -> None:
    session = await desk.session()
    berth = await desk.begin(session, "long work")
    await desk.say(berth, "first half")
    checkpoint = await desk.save(berth, {b"a": b"half"}, SnapshotKind.CHECKPOINT)
    await desk.office.report(berth, checkpoint)
    await desk.say(berth, "second half")
    fork = await desk.fork(session, checkpoint.snapshot.id)
    assert await desk.texts(fork) == ["long work", "first half"]
    saved = await desk.save(berth, {b"a": b"whole"})
    await desk.office.report(berth, saved, berth.finish(output="second half"))
    assert await desk.texts(fork) == ["long work", "first half"]
    told = (await desk.told(await desk.begin(fork, "go on"))).text
    assert "first half" in told
    assert "second half" not in told
    assert "_The session goes on from here._" in told


async def test_fork__does_not_hear_what_was_pending_then(desk: Desk) -> None:
    session = await desk.session()
    berth = await desk.begin(session, "one")
    await desk.office.send(session, "queued meanwhile")
    saved = await desk.save(berth, {b"a": b"1"})
    await desk.office.report(berth, saved, berth.finish())
    fork = await desk.fork(session, saved.snapshot.id)
    assert await desk.texts(fork) == ["one"]


async def test_fork__of_an_archived_session(desk: Desk) -> None:
    session = await desk.session()
    await desk.turn(session, "one", {b"a": b"1"})
    archived = await desk.http.patch(f"/api/v1/sessions/{session}", json={"archived": True})
    assert archived.status_code == 200, archived.text
    fork = await desk.get(f"sessions/{await desk.fork(session)}")
    assert fork["state"] == "active"


async def test_fork__reads_its_packs_and_saves_on_top_of_them(plane: Plane, desk: Desk) -> None:
    """The keys are another session's."""
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    fork = await desk.fork(session)
    berth = await desk.begin(fork, "two")
    token = {"Authorization": f"Bearer {berth.grant.token}"}
    base = f"/internal/v1/workers/{berth.grant.worker_id}"
    plan = await plane.http.post(
        f"{base}/restore", json={"epoch": berth.grant.epoch}, headers=token
    )
    assert plan.status_code == 200, plan.text
    keys = await desk.office.fetch(
        "SELECT pack_key FROM snapshot_packs WHERE snapshot_id = $1", first.snapshot_id
    )
    named = [one["pack_key"] for one in keys]
    signed = await plane.http.post(f"{base}/downloads", json={"keys": named}, headers=token)
    assert signed.status_code == 200, signed.text
    entry = berth.snapshot()
    (head,) = (await desk.get(f"sessions/{fork}/snapshots"))["items"]
    assert str(entry.snapshot.parent) == head["id"] == plan.json()["head"]


async def test_fork__once_for_a_key(desk: Desk) -> None:
    session = await desk.session()
    await desk.turn(session, "one", {b"a": b"1"})
    path, headers = f"sessions/{session}/fork", {"Idempotency-Key": "k"}
    made = await asyncio.gather(*(desk.post(path, {}, 201, **headers) for _ in range(3)))
    assert len({one["id"] for one in made}) == 1
    other = await desk.http.post(f"/api/v1/{path}", json={"title": "x"}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


async def test_fork__for_whom_and_of_what(
    desk: Desk, viewer: Caller, stranger: Caller, member: Caller
) -> None:
    session, other = await desk.session(), await desk.session()
    path = f"/api/v1/sessions/{session}/fork"
    empty = await desk.http.post(path, json={})
    assert (empty.status_code, empty.json()["code"]) == (404, "snapshot_not_found")
    turn = await desk.turn(session, "one", {b"a": b"1"})
    assert (await viewer.http.post(path, json={})).status_code == 403
    assert (await stranger.http.post(path, json={})).status_code == 404
    assert (await member.http.post(path, json={})).status_code == 201
    for wrong in (uuid4(), turn.run_id):
        refused = await desk.http.post(path, json={"snapshot_id": str(wrong)})
        assert (refused.status_code, refused.json()["code"]) == (404, "snapshot_not_found")
    foreign = await desk.http.post(
        f"/api/v1/sessions/{other}/fork", json={"snapshot_id": str(turn.snapshot_id)}
    )
    assert foreign.status_code == 404


async def test_fork__of_what_was_damaged_makes_nothing(desk: Desk) -> None:
    session = await desk.session()
    turn = await desk.turn(session, "one", {b"a": b"1"})
    key = await desk.office.value(
        "SELECT manifest_key FROM snapshots WHERE id = $1", turn.snapshot_id
    )
    content = await desk.saver._objects.get(key)
    await desk.saver._objects.put(key, content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    refused = await desk.http.post(f"/api/v1/sessions/{session}/fork", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "snapshot_damaged")
    assert await desk.office.value("SELECT count(*) FROM sessions") == 1
