"""The platform's tools over the API: for whoever speaks for an agent from outside."""

from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from control_plane.services.projector import Projector
from tests.factories import end_run, make_session, make_task, register_manager, send
from tests.fixtures.control_plane import Caller, Plane


@pytest.fixture
async def at_work(plane: Plane, member: Caller) -> dict[str, Any]:
    """A task's run that is queued, in its session."""
    await register_manager(plane.connection, {"scripted": ""})
    session = await make_session(member.http)
    task = await make_task(member.http, session_id=session["id"])
    ran = await member.http.post(f"/api/v1/tasks/{task['id']}/run", json={})
    assert ran.status_code == 202, ran.text
    return {"session_id": session["id"], "task_id": task["id"], "run_id": ran.json()["id"]}


async def say(http: httpx.AsyncClient, tool: str, **body: Any) -> httpx.Response:
    return await http.post(f"/api/v1/tools/{tool}", json=body)


async def task_of(plane: Plane, member: Caller, at_work: dict[str, Any]) -> dict[str, Any]:
    projector = Projector(plane.app.services.projector._database)
    while await projector.run_once():
        pass
    return (await member.http.get(f"/api/v1/tasks/{at_work['task_id']}")).json()


async def test_finish_task__of_a_run_that_is_not_over(
    plane: Plane, member: Caller, at_work: dict[str, Any]
) -> None:
    said = await say(
        member.http, "finish_task", session_id=at_work["session_id"], summary="all is done"
    )
    assert (said.status_code, said.json()["duplicate"]) == (200, False), said.text
    assert (await task_of(plane, member, at_work))["state"] == "running"
    row = await plane.connection.fetchrow("SELECT run_id, words, called_by FROM tool_calls")
    assert tuple(row or ()) == (UUID(at_work["run_id"]), "all is done", member.user_id)
    audited = await plane.connection.fetchrow("SELECT action, actor, target FROM audit")
    assert tuple(audited or ()) == ("tool.finish_task", member.user_id, at_work["run_id"])


@pytest.mark.parametrize(
    ("tool", "body", "then"),
    [
        ("finish_task", {"summary": "all is done"}, ("review", "all is done")),
        ("block_task", {"reason": "no key"}, ("blocked", "no key")),
        ("request_input", {"question": "Which?"}, ("waiting", "")),
    ],
)
async def test_say__after_the_last_run_moves_its_task(
    plane: Plane,
    member: Caller,
    at_work: dict[str, Any],
    *,
    tool: str,
    body: dict[str, str],
    then: tuple[str, str],
) -> None:
    await end_run(plane.connection, at_work["run_id"], "failed")
    said = await say(member.http, tool, session_id=at_work["session_id"], **body)
    assert said.status_code == 200, said.text
    task = await task_of(plane, member, at_work)
    assert (task["state"], task["summary"]) == then
    told = await plane.connection.fetch(
        "SELECT payload FROM events WHERE kind = 'task.transitioned' ORDER BY seq"
    )
    assert f'"cause":"tool.{tool}"' in told[-1]["payload"]
    after = await plane.connection.fetch(
        "SELECT run_id FROM events WHERE kind = 'tool.accepted' AND stream_id = $1",
        UUID(at_work["session_id"]),
    )
    assert [row["run_id"] for row in after] == [None]


async def test_request_input__is_answered_into_the_session(
    plane: Plane, member: Caller, at_work: dict[str, Any]
) -> None:
    await end_run(plane.connection, at_work["run_id"])
    said = await say(
        member.http,
        "request_input",
        session_id=at_work["session_id"],
        question="Which?",
        options=["red", "blue"],
    )
    path = f"/api/v1/human-loop/{said.json()['request_id']}"
    request = (await member.http.get(path)).json()
    assert (request["type"], request["state"], request["tool"]) == (
        "question",
        "pending",
        "request_input",
    )
    replied = await member.http.post(f"{path}/reply", json={"option_id": "2"})
    assert (replied.status_code, replied.json()["request"]["state"]) == (200, "delivered")
    runs = (
        await member.http.get("/api/v1/runs", params={"session_id": at_work["session_id"]})
    ).json()["items"]
    assert sorted(run["state"] for run in runs) == ["queued", "succeeded"]
    assert (await task_of(plane, member, at_work))["state"] == "running"


async def test_say__a_task_that_somebody_settled_stays(
    plane: Plane, member: Caller, at_work: dict[str, Any]
) -> None:
    await end_run(plane.connection, at_work["run_id"])
    await plane.connection.execute("UPDATE tasks SET state = 'done'")
    said = await say(member.http, "block_task", session_id=at_work["session_id"], reason="no key")
    assert (said.status_code, said.json()["code"]) == (409, "illegal_transition")
    assert await plane.connection.fetchval("SELECT count(*) FROM tool_calls") == 0


async def test_say__in_a_session_without_a_task(plane: Plane, member: Caller) -> None:
    await register_manager(plane.connection, {"scripted": ""})
    session = await make_session(member.http)
    nothing = await say(member.http, "finish_task", session_id=session["id"], summary="done")
    assert (nothing.status_code, nothing.json()["code"]) == (404, "run_not_found")
    await send(member.http, session["id"])
    said = await say(member.http, "finish_task", session_id=session["id"], summary="done")
    assert said.status_code == 200


async def test_request_input__in_an_archived_session(
    plane: Plane, member: Caller, at_work: dict[str, Any]
) -> None:
    await end_run(plane.connection, at_work["run_id"])
    await plane.connection.execute("UPDATE sessions SET state = 'archived'")
    said = await say(
        member.http, "request_input", session_id=at_work["session_id"], question="Which?"
    )
    assert (said.status_code, said.json()["code"]) == (409, "session_archived")


async def test_say__once_for_each_idempotency_key(
    plane: Plane, member: Caller, at_work: dict[str, Any]
) -> None:
    body = {"session_id": at_work["session_id"], "question": "Which?"}
    headers = {"Idempotency-Key": "ask-1"}
    first = await member.http.post("/api/v1/tools/request_input", json=body, headers=headers)
    again = await member.http.post("/api/v1/tools/request_input", json=body, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    other = await member.http.post(
        "/api/v1/tools/request_input", json=body | {"question": "What?"}, headers=headers
    )
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_key_reused")
    without = (await say(member.http, "request_input", **body)).json()
    assert (without["duplicate"], without["request_id"]) == (True, first.json()["request_id"])


async def test_say__who_may(viewer: Caller, stranger: Caller, at_work: dict[str, Any]) -> None:
    body = {"session_id": at_work["session_id"], "summary": "done"}
    for caller, status in ((viewer, 403), (stranger, 404)):
        assert (await say(caller.http, "finish_task", **body)).status_code == status


@pytest.mark.parametrize(
    ("tool", "body", "named"),
    [
        ("finish_task", {}, "summary"),
        ("finish_task", {"summary": ""}, "summary"),
        ("block_task", {"summary": "x"}, "summary"),
        ("request_input", {"question": "x", "options": ["a"] * 21}, "options"),
        ("request_input", {"question": "x", "key": ""}, "key"),
    ],
)
async def test_say__what_is_wrong_is_named(
    member: Caller, at_work: dict[str, Any], tool: str, body: dict[str, Any], named: str
) -> None:
    said = await say(member.http, tool, session_id=at_work["session_id"], **body)
    assert (said.status_code, said.json()["code"]) == (400, "validation_failed")
    assert named in said.text


async def test_say__in_a_session_of_nobody(member: Caller) -> None:
    said = await say(member.http, "finish_task", session_id=str(uuid4()), summary="done")
    assert (said.status_code, said.json()["code"]) == (404, "session_not_found")


async def test_ask_user__is_for_agents_only(member: Caller, at_work: dict[str, Any]) -> None:
    said = await say(member.http, "ask_user", session_id=at_work["session_id"], question="Which?")
    assert said.status_code == 404
