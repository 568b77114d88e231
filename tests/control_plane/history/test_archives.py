"""A session leaves as an archive and comes back as another one, the same in all that matters."""

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest

from chassis.failpoints import arm, disarm_all
from contracts.archives import MEDIA_TYPE
from contracts.snapshots import SnapshotKind
from control_plane.domain.packs import session_prefix
from control_plane.services import exports
from control_plane.services import imports as imports_service
from tests.control_plane.history.archived import members_of
from tests.control_plane.history.desk import Desk, Files
from tests.fixtures.barriers import Barrier
from tests.fixtures.control_plane import Caller, Plane

FILES: Files = {
    b".berth/session.json": b'{"sessions": {}}',
    b"caf\xe9": b"not UTF-8\n",
    b"deep/er/file": b"x" * 5000,
    b"link": b"->deep/er",
    b"empty": b"",
}
TAR = {"Content-Type": MEDIA_TYPE}


async def exported(desk: Desk, session: UUID, **query: str) -> bytes:
    answer = await desk.http.get(f"/api/v1/sessions/{session}/export", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert answer.headers["x-content-type-options"] == "nosniff"
    return answer.content


async def sent(
    caller: httpx.AsyncClient,
    project: UUID,
    archive: bytes | AsyncIterator[bytes],
    **headers: str,
) -> httpx.Response:
    path = f"/api/v1/projects/{project}/sessions/import"
    return await caller.post(path, content=archive, headers={**TAR, **headers})


async def imported(desk: Desk, archive: bytes) -> UUID:
    answer = await sent(desk.http, desk.project, archive)
    assert answer.status_code == 201, answer.text
    return UUID(answer.json()["id"])


async def test_round_trip__files_conversation_and_nothing_else(desk: Desk, plane: Plane) -> None:
    session = await desk.session()
    await desk.turn(session, "one", {b"secret of before": b"gone since"})
    last = await desk.turn(session, "two", FILES)
    archive = await exported(desk, session)
    assert b"gone since" not in archive, "only what the snapshot's files need"
    assert b"what nobody needs any more" not in archive
    elsewhere = await plane.project("elsewhere")
    by = await plane.caller((elsewhere, "member"))
    answer = await sent(by.http, elsewhere, archive)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["project_id"] == str(elsewhere)
    assert made["id"] != str(session)
    assert answer.headers["location"] == f"/api/v1/sessions/{made['id']}"
    there = Desk(desk.office, desk.saver, desk.host, elsewhere, by.http)
    imported_id = UUID(made["id"])
    assert await there.texts(imported_id) == ["one", "said: one", "two", "said: two"]
    base = f"sessions/{imported_id}/snapshots/nothing/diff"
    ours = await desk.get(f"sessions/{session}/snapshots/nothing/diff")
    theirs = await there.get(base)
    assert theirs["items"] == ours["items"]
    text = await there.get(f"{base}/text", path="caf%E9", escaped="1")
    assert "+not UTF-8" in text["text"] or text["why"] == "binary"
    ids = {one["run_id"] for one in await there.transcript(imported_id)}
    assert str(last.run_id) not in ids, "ids are new"
    assert len(ids) == 2
    runs = (await there.get("runs", session_id=str(imported_id)))["items"]
    assert [one["state"] for one in runs] == ["succeeded", "succeeded"]
    berth = await there.begin(imported_id, "three")
    told = await there.told(berth)
    assert (told.runs, "said: two" in told.text) == (2, True)
    again = members_of(await exported_by_owner(plane, elsewhere, imported_id))
    first = members_of(archive)
    packs = [name for name in first if name.startswith("packs/")]
    assert [again[name] for name in packs] == [first[name] for name in packs]


async def exported_by_owner(plane: Plane, project: UUID, session: UUID) -> bytes:
    by = await plane.caller((project, "owner"))
    answer = await by.http.get(f"/api/v1/sessions/{session}/export")
    assert answer.status_code == 200, answer.text
    return answer.content


async def test_export__while_it_runs_is_of_the_snapshot(desk: Desk) -> None:
    session = await desk.session()
    await desk.turn(session, "one", {b"a": b"1"})
    berth = await desk.begin(session, "two")
    await desk.say(berth, "half of it")
    checkpoint = await desk.save(berth, {b"a": b"half"}, SnapshotKind.CHECKPOINT)
    await desk.office.report(berth, checkpoint)
    await desk.say(berth, "more of it")
    head = await imported(desk, await exported(desk, session))
    assert await desk.texts(head) == ["one", "said: one"]
    archive = await exported(desk, session, snapshot_id=str(checkpoint.snapshot.id))
    middle = await imported(desk, archive)
    assert await desk.texts(middle) == ["one", "said: one", "two", "half of it"]
    runs = (await desk.get("runs", session_id=str(middle)))["items"]
    assert [one["state"] for one in runs] == ["canceled", "succeeded"]


async def test_export__of_a_fork_has_what_it_took_over(desk: Desk) -> None:
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    await desk.turn(session, "elsewhere", {b"a": b"x"})
    fork = await desk.fork(session, first.snapshot_id)
    await desk.turn(fork, "two", {b"a": b"2"})
    made = await imported(desk, await exported(desk, fork))
    assert await desk.texts(made) == ["one", "said: one", "two", "said: two"]
    assert (await desk.get(f"sessions/{made}"))["forked_from"] is None


async def test_export__leaves_the_oldest_out(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    session = await desk.session()
    for text in ("one", "two", "three"):
        turn = await desk.turn(session, text, {b"a": text.encode()})
    size = await desk.office.value(
        "SELECT sum(octet_length(payload)) FROM events WHERE run_id = $1"
        " AND kind IN ('message.user', 'message.stop', 'run.finished')",
        turn.run_id,
    )
    monkeypatch.setattr(exports, "MOST_TRANSCRIPT_BYTES", int(size * 1.5))
    archive = await exported(desk, session)
    assert json.loads(members_of(archive)["berth.json"])["left_out"] == 2
    assert await desk.texts(await imported(desk, archive)) == ["three", "said: three"]


async def test_export__ends_before_a_wrong_byte(desk: Desk) -> None:
    session = await desk.session()
    await desk.turn(session, "one", FILES)
    prefix = session_prefix(desk.project, session)
    listed = await desk.saver._objects.list(prefix)
    (key,) = [one.key for one in listed if one.key.endswith(".pack")]
    content = await desk.saver._objects.get(key)
    await desk.saver._objects.put(key, content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(httpx.RemoteProtocolError):
        await exported(desk, session)


async def test_export__for_whom(
    desk: Desk, member: Caller, viewer: Caller, stranger: Caller
) -> None:
    session = await desk.session()
    path = f"/api/v1/sessions/{session}/export"
    assert (await desk.http.get(path)).json()["code"] == "snapshot_not_found"
    await desk.turn(session, "one", FILES)
    for caller, status in ((member, 403), (viewer, 403), (stranger, 404)):
        assert (await caller.http.get(path)).status_code == status
    archive = await exported(desk, session)
    query = "SELECT count(*) FROM audit WHERE action = 'session.export'"
    assert await desk.office.value(query) == 1
    for caller, status in ((member, 201), (viewer, 403), (stranger, 404)):
        assert (await sent(caller.http, desk.project, archive)).status_code == status


async def test_import__once_for_a_key(desk: Desk) -> None:
    session = await desk.session()
    await desk.turn(session, "one", FILES)
    archive = await exported(desk, session)
    key = {"Idempotency-Key": "k"}
    both = await asyncio.gather(*(sent(desk.http, desk.project, archive, **key) for _ in range(2)))
    assert len({one.json()["id"] for one in both}) == 1
    await desk.turn(session, "two", FILES)
    other = await sent(desk.http, desk.project, await exported(desk, session), **key)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")


async def test_import__is_seen_at_once_or_not_at_all(desk: Desk) -> None:
    session = await desk.session()
    await desk.turn(session, "one", FILES)
    archive = await exported(desk, session)
    barrier = Barrier()
    arm("import.received", barrier.action)
    going = asyncio.create_task(sent(desk.http, desk.project, archive))
    await barrier.reached()
    disarm_all()
    assert len((await desk.get("sessions"))["items"]) == 1
    assert await desk.office.value("SELECT count(*) FROM snapshots") == 1
    barrier.release()
    assert (await going).status_code == 201
    assert len((await desk.get("sessions"))["items"]) == 2


async def test_import__larger_than_it_may_be(
    desk: Desk, plane: Plane, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await desk.session()
    await desk.turn(session, "one", FILES)
    archive = await exported(desk, session)
    service: imports_service.Imports = plane.app.services.imports
    monkeypatch.setattr(service, "_limit", len(archive) // 2)
    refused = await sent(desk.http, desk.project, archive)
    assert (refused.status_code, refused.json()["code"]) == (413, "too_large")
    wrong = await desk.http.post(
        f"/api/v1/projects/{desk.project}/sessions/import", content=archive
    )
    assert (wrong.status_code, wrong.json()["code"]) == (415, "unsupported_media_type")
