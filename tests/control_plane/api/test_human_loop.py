"""Human-loop requests over the API: listed, answered once."""

from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from chassis.ids import new_id
from tests.factories import make_session, send
from tests.fixtures.control_plane import Caller, Plane

OPTIONS = [{"id": "yes", "kind": "allow_once"}, {"id": "no", "kind": "reject_once"}]


@pytest.fixture
async def request_of(plane: Plane, member: Caller) -> dict[str, Any]:
    """A parked run's open permission."""
    session = await make_session(member.http)
    run = await send(member.http, session["id"])
    request_id = new_id()
    await plane.connection.execute("UPDATE runs SET state = 'waiting', waiting_since = now()")
    await plane.connection.execute(
        "INSERT INTO human_loop_requests (id, project_id, session_id, run_id, attempt, ask_id,"
        " type, title, tool, input, input_hash, options)"
        " VALUES ($1, $2, $3, $4, 1, $1, 'permission', 'Run it?', 'shell', $5, 'hash', $6)",
        request_id,
        UUID(session["project_id"]),
        UUID(session["id"]),
        UUID(run["id"]),
        '{"command": "ls"}',
        msgspec.json.encode(OPTIONS).decode(),
    )
    return {"id": str(request_id), "run_id": run["id"], "session_id": session["id"]}


async def test_request__is_listed_until_it_is_answered(
    member: Caller, request_of: dict[str, Any]
) -> None:
    (pending,) = (await member.http.get("/api/v1/human-loop/pending")).json()["items"]
    assert pending["input"] == {"command": "ls"}
    assert [option["id"] for option in pending["options"]] == ["yes", "no"]
    assert (await member.http.get("/api/v1/human-loop/resolved")).json()["items"] == []
    path = f"/api/v1/human-loop/{request_of['id']}"
    assert (await member.http.get(path)).json() == pending
    replied = await member.http.post(f"{path}/reply", json={"decision": "allow"})
    assert replied.status_code == 200, replied.text
    assert replied.json()["duplicate"] is False
    assert (await member.http.get("/api/v1/human-loop/pending")).json()["items"] == []
    (resolved,) = (
        await member.http.get(
            "/api/v1/human-loop/resolved", params={"run_id": request_of["run_id"]}
        )
    ).json()["items"]
    assert resolved == replied.json()["request"]
    assert (resolved["option_id"], resolved["decided_by"]) == ("yes", str(member.user_id))


async def test_reply__requeues_a_parked_run_and_is_audited(
    plane: Plane, member: Caller, request_of: dict[str, Any]
) -> None:
    run = (await member.http.get(f"/api/v1/runs/{request_of['run_id']}")).json()
    assert (run["state"], run["parked"]) == ("waiting", True)
    await member.http.post(f"/api/v1/human-loop/{request_of['id']}/reply", json={"option_id": "no"})
    run = (await member.http.get(f"/api/v1/runs/{request_of['run_id']}")).json()
    assert (run["state"], run["parked"]) == ("queued", False)
    audit = await plane.connection.fetch("SELECT action, actor, target FROM audit")
    assert [tuple(row.values()) for row in audit] == [
        ("human_loop.reply", member.user_id, request_of["id"])
    ]


async def test_reply__a_second_answer_changes_nothing(
    member: Caller, owner: Caller, request_of: dict[str, Any]
) -> None:
    path = f"/api/v1/human-loop/{request_of['id']}/reply"
    first = (await member.http.post(path, json={"decision": "allow"})).json()
    second = (await owner.http.post(path, json={"decision": "reject"})).json()
    assert second == {"request": first["request"], "duplicate": True}


async def test_reply__that_fits_no_option_is_400(
    member: Caller, request_of: dict[str, Any]
) -> None:
    path = f"/api/v1/human-loop/{request_of['id']}/reply"
    for body in ({}, {"option_id": "maybe"}, {"text": "yes"}):
        refused = await member.http.post(path, json=body)
        assert (refused.status_code, refused.json()["code"]) == (400, "validation_failed")
    unknown = await member.http.post(
        f"/api/v1/human-loop/{uuid4()}/reply", json={"decision": "allow"}
    )
    assert (unknown.status_code, unknown.json()["code"]) == (404, "request_not_found")
