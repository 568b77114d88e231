"""Runs over the API: the line, waiting, streaming, canceling, retrying, listing."""

import asyncio
from typing import Any
from uuid import UUID, uuid4

import msgspec

from contracts.events import LogEntry
from tests.factories import end_run, make_session, make_task, send
from tests.fixtures.control_plane import Caller, Plane


async def test_runs__of_a_session_stand_in_line(member: Caller) -> None:
    session = await make_session(member.http)
    runs = [await send(member.http, session["id"], str(number)) for number in range(3)]
    assert [(run["state"], run["place"]) for run in runs] == [
        ("queued", 0),
        ("pending", 1),
        ("pending", 2),
    ]
    read = (await member.http.get(f"/api/v1/sessions/{session['id']}")).json()
    assert read["live_run_id"] == runs[0]["id"]
    gone = await member.http.post(f"/api/v1/runs/{runs[0]['id']}/cancel")
    assert gone.status_code == 202
    assert (gone.json()["state"], gone.json()["place"]) == ("canceled", None)
    assert gone.json()["reason"] == "canceled"
    assert gone.json()["remedy"]
    second = (await member.http.get(f"/api/v1/runs/{runs[1]['id']}")).json()
    assert (second["state"], second["place"]) == ("queued", 0)


async def test_run__makes_its_session(member: Caller) -> None:
    text = "do this\nand that"
    run = (
        await member.http.post("/api/v1/runs/start", json={"text": text, "agent": "codex"})
    ).json()
    session = (await member.http.get(f"/api/v1/sessions/{run['session_id']}")).json()
    assert (session["title"], session["agent"]) == ("do this", "codex")
    more = await member.http.post(
        "/api/v1/runs", json={"text": "more", "session_id": session["id"], "agent": "codex"}
    )
    assert more.json()["session_id"] == session["id"]
    for field, value in [("agent", "other"), ("title", "x"), ("app_id", str(uuid4()))]:
        body = {"text": "more", "session_id": session["id"], field: value}
        refused = await member.http.post("/api/v1/runs", json=body)
        assert refused.status_code == 400
        assert refused.json()["details"]["field"] == field


async def test_cancel__after_the_end_is_409_and_stop_is_its_alias(member: Caller) -> None:
    session = await make_session(member.http)
    run = await send(member.http, session["id"])
    assert (await member.http.post(f"/api/v1/runs/{run['id']}/stop")).status_code == 202
    refused = await member.http.post(f"/api/v1/runs/{run['id']}/cancel")
    assert (refused.status_code, refused.json()["code"]) == (409, "already_finished")


async def test_retry__makes_a_new_run_of_an_ended_one_only(plane: Plane, member: Caller) -> None:
    session = await make_session(member.http)
    run = await send(member.http, session["id"], "the question")
    path = f"/api/v1/runs/{run['id']}/retry"
    refused = await member.http.post(path)
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    await end_run(plane.connection, run["id"], "failed")
    again = await member.http.post(path)
    assert again.status_code == 202, again.text
    assert again.json()["retry_of"] == run["id"]
    assert again.json()["id"] != run["id"]
    prompt = await plane.connection.fetchval(
        "SELECT prompt FROM run_payloads WHERE run_id = $1", UUID(again.json()["id"])
    )
    assert prompt == "the question"


async def test_list__filters_by_state_session_task(plane: Plane, member: Caller) -> None:
    task = await make_task(member.http)
    one, two = await make_session(member.http), await make_session(member.http)
    first = await send(member.http, one["id"])
    second = await send(member.http, one["id"])
    third = (
        await member.http.post(
            f"/api/v1/sessions/{two['id']}/messages", json={"text": "a", "task_id": task["id"]}
        )
    ).json()

    async def ids(**params: Any) -> list[str]:
        answer = await member.http.get("/api/v1/runs", params=params)
        assert answer.status_code == 200, answer.text
        return [item["id"] for item in answer.json()["items"]]

    assert await ids() == [third["id"], second["id"], first["id"]]
    assert await ids(state="pending") == [second["id"]]
    assert await ids(state=["queued", "pending"], session_id=one["id"]) == [
        second["id"],
        first["id"],
    ]
    assert await ids(task_id=task["id"]) == [third["id"]]
    page = (await member.http.get("/api/v1/runs", params={"limit": 2})).json()
    rest = await member.http.get("/api/v1/runs", params={"limit": 2, "cursor": page["next_cursor"]})
    assert [item["id"] for item in rest.json()["items"]] == [first["id"]]


async def test_wait__ends_with_the_run(member: Caller) -> None:
    session = await make_session(member.http)
    waiting = asyncio.create_task(
        member.http.post(
            f"/api/v1/sessions/{session['id']}/messages",
            json={"text": "hello"},
            headers={"Prefer": "respond-async, wait=20"},
        )
    )
    run = await _only_run(member)
    await member.http.post(f"/api/v1/runs/{run['id']}/cancel")
    async with asyncio.timeout(30):
        answer = await waiting
    assert (answer.status_code, answer.json()["state"]) == (200, "canceled")
    assert answer.headers["preference-applied"] == "wait=20"


async def test_wait__that_is_over_first_is_202(member: Caller) -> None:
    answer = await member.http.post(
        "/api/v1/runs", json={"text": "hello"}, headers={"Prefer": "wait=0.1, wait=1"}
    )
    assert answer.status_code == 202
    assert answer.json()["state"] == "queued"


async def test_stream__is_the_runs_and_reattaches_by_its_key(member: Caller) -> None:
    headers = {"Accept": "text/event-stream", "Idempotency-Key": "stream-1"}

    async def post() -> list[str]:
        kinds: list[str] = []
        async with member.http.stream(
            "POST", "/api/v1/runs", json={"text": "hello"}, headers=headers
        ) as answer:
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["location"].startswith("/api/v1/runs/")
            async for line in answer.aiter_lines():
                if line.startswith('data: {"id"'):
                    entry = msgspec.json.decode(line.removeprefix("data: "), type=LogEntry)
                    kinds.append(str(entry.event.__struct_config__.tag))
        return kinds

    both = [asyncio.create_task(post()) for _ in range(2)]
    run = await _only_run(member)
    await member.http.post(f"/api/v1/runs/{run['id']}/cancel")
    async with asyncio.timeout(30):
        first, second = await asyncio.gather(*both)
    assert first == second == ["message.user", "run.queued", "run.finished", "run.closed"]
    assert len((await member.http.get("/api/v1/runs")).json()["items"]) == 1


async def _only_run(member: Caller) -> dict[str, Any]:
    """As soon as it is there."""
    async with asyncio.timeout(30):
        while True:
            items = (await member.http.get("/api/v1/runs")).json()["items"]
            if items:
                return items[0]


async def test_output_todos_usage__of_a_new_run_are_empty(plane: Plane, member: Caller) -> None:
    session = await make_session(member.http)
    run = await send(member.http, session["id"])
    path = f"/api/v1/runs/{run['id']}"
    assert (await member.http.get(f"{path}/output")).json() == {
        "run_id": run["id"],
        "state": "queued",
        "text": "",
    }
    todos = (await member.http.get(f"{path}/todos")).json()
    assert todos == {"run_id": run["id"], "seq": None, "entries": []}
    assert (await member.http.get(f"{path}/usage")).json()["entries"] == []
    for attempt in (1, 2):
        await plane.connection.execute(
            "INSERT INTO usage (id, project_id, session_id, run_id, attempt, source, input_tokens)"
            " VALUES ($1, $2, $3, $4, $5, 'reported', 100)",
            uuid4(),
            UUID(session["project_id"]),
            UUID(session["id"]),
            UUID(run["id"]),
            attempt,
        )
    (usage,) = (await member.http.get(f"{path}/usage")).json()["entries"]
    assert (usage["source"], usage["input_tokens"]) == ("reported", 200)


async def test_trace__goes_from_the_request_into_the_log(plane: Plane, member: Caller) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    sent = await member.http.post(
        "/api/v1/runs",
        json={"text": "hello"},
        headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"},
    )
    assert sent.headers["x-trace-id"] == trace
    traces = await plane.connection.fetch("SELECT DISTINCT trace_id FROM events")
    assert [row["trace_id"] for row in traces] == [trace]
    header = await plane.connection.fetchval("SELECT traceparent FROM run_payloads")
    assert header.split("-")[1] == trace
