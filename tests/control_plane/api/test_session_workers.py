"""Session workers over the API: read, stopped, removed."""

from tests.factories import insert_worker, make_session, send
from tests.fixtures.control_plane import Caller, Plane


async def test_worker__is_read_by_its_session(plane: Plane, member: Caller) -> None:
    session = await make_session(member.http)
    path = f"/api/v1/session-workers/{session['id']}"
    none = await member.http.get(path)
    assert (none.status_code, none.json()["code"]) == (404, "worker_not_found")
    worker = await insert_worker(plane.connection, session, token="bwt1")
    found = (await member.http.get(path)).json()
    assert (found["id"], found["current"], found["epoch"]) == (str(worker), True, 1)
    assert (await member.http.get("/api/v1/session-workers")).json()["items"] == [found]
    await plane.connection.execute("UPDATE session_workers SET removed_at = now()")
    assert (await member.http.get("/api/v1/session-workers")).json()["items"] == []
    assert (await member.http.get(path)).status_code == 404


async def test_stop__is_refused_while_a_run_is_live(plane: Plane, member: Caller) -> None:
    session = await make_session(member.http)
    path = f"/api/v1/session-workers/{session['id']}/stop"
    assert (await member.http.post(path)).status_code == 404
    worker = await insert_worker(plane.connection, session, token="bwt1")
    run = await send(member.http, session["id"])
    await plane.connection.execute(
        "UPDATE runs SET state = 'running', started_at = now(), worker_id = $1", worker
    )
    busy = await member.http.post(path)
    assert (busy.status_code, busy.json()["code"]) == (409, "session_busy")
    await plane.connection.execute("DELETE FROM runs WHERE id::text = $1", run["id"])
    asked = await member.http.post(path)
    assert (asked.status_code, asked.json()) == (202, {"granted": True})
    commands = await plane.connection.fetch("SELECT type FROM commands")
    assert [row["type"] for row in commands] == ["stop"]


async def test_remove__of_what_is_not_saved_is_for_owners_and_audited(
    plane: Plane, member: Caller, owner: Caller
) -> None:
    session = await make_session(member.http)
    worker = await insert_worker(plane.connection, session, token="bwt1")
    path = f"/api/v1/session-workers/{session['id']}/remove"
    unforced = await member.http.post(path, json={})
    assert (unforced.status_code, unforced.json()["code"]) == (409, "session_busy")
    assert (await member.http.post(path, json={"force": True})).status_code == 403
    removed = await owner.http.post(path, json={"force": True})
    assert (removed.status_code, removed.json()) == (202, {"worker_id": str(worker)})
    told = (await owner.http.get("/api/v1/audit")).json()["items"]
    assert [(one["action"], one["actor"]) for one in told] == [
        ("session_worker.remove", str(owner.user_id))
    ]
    assert told[0]["detail"]["forced"] is True
