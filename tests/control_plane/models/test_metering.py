"""What is booked of a call equals the provider's own ledger, in each wire format."""

from typing import Any

import pytest

from tests.control_plane.models.caller import PATHS, Worker
from tests.fixtures.scripted_model import ScriptedModel, script

COUNTED = ("input_tokens", "output_tokens", "cached_tokens", "thought_tokens")
SPOKEN = ["messages", "responses", "chat"]


def ledger_of(model: ScriptedModel, call: dict[str, Any]) -> dict[str, Any]:
    (entry,) = [one for one in model.ledger() if one["id"] == call["provider_id"]]
    return entry


@pytest.mark.parametrize("spoken", SPOKEN)
@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
async def test_call__is_booked_as_the_provider_counted(
    worker: Worker, model: ScriptedModel, spoken: str, *, streamed: bool
) -> None:
    reply = {"think": "Well well.", "text": "One two.", "usage": [1234, 567, 89, 45, 6]}
    answer = await worker.ask(PATHS[spoken], script(reply), stream=streamed)
    assert answer.status_code == 200, answer.text
    kind = "text/event-stream" if streamed else "application/json"
    assert answer.headers["content-type"].startswith(kind)
    assert "two." in answer.text
    (call,) = await worker.calls()
    assert (call["state"], call["source"], call["status"]) == ("completed", "metered", 200)
    assert (call["run_id"], call["attempt"]) == (worker.run_id, 3)
    assert (call["upstream"], call["path"], call["model"]) == ("scripted", PATHS[spoken], "m")
    entry = ledger_of(model, call)
    assert entry["complete"]
    assert {name: call[name] for name in COUNTED} == {name: entry[name] for name in COUNTED}


async def test_embeddings__are_booked(worker: Worker, model: ScriptedModel) -> None:
    answer = await worker.http.post("/v1/embeddings", json={"model": "m", "input": ["a b", "c"]})
    assert len(answer.json()["data"]) == 2
    (call,) = await worker.calls()
    entry = next(one for one in reversed(model.ledger()) if one["path"].endswith("/embeddings"))
    assert (call["state"], call["source"]) == ("completed", "metered")
    assert {name: call[name] for name in COUNTED} == {name: entry[name] for name in COUNTED}
    assert call["input_tokens"] > 0


async def test_chat__is_metered_though_nobody_asked_for_its_usage(
    worker: Worker, model: ScriptedModel
) -> None:
    refusing = {"stream_options": {"include_usage": False, "include_obfuscation": True}}
    answer = await worker.ask("/v1/chat/completions", "hello", stream=True, **refusing)
    assert '"usage"' in answer.text
    assert answer.text.rstrip().endswith("data: [DONE]")
    (call,) = await worker.calls()
    assert call["source"] == "metered"
    assert call["output_tokens"] == ledger_of(model, call)["output_tokens"]


async def test_count_tokens__is_passed_and_not_booked(worker: Worker) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    answer = await worker.http.post("/v1/messages/count_tokens?beta=true", json=body)
    assert answer.json()["input_tokens"] > 0
    assert await worker.calls() == []


async def test_usage__is_shown_beside_what_the_agent_said(worker: Worker) -> None:
    await worker.plane.connection.execute(
        "INSERT INTO usage (id, project_id, session_id, run_id, attempt, source, model,"
        " input_tokens) SELECT gen_random_uuid(), project_id, session_id, id, 1, 'reported', 'm', 7"
        " FROM runs"
    )
    for usage in ([10, 1, 2], [20, 3, 4]):
        await worker.ask("/v1/messages", script({"text": "Yes.", "usage": usage}))
    await worker.ask("/v1/messages", script({"status": 529}))
    shown = (await worker.owner.http.get(f"/api/v1/runs/{worker.run_id}/usage")).json()
    told = {one["source"]: [one[name] for name in COUNTED] for one in shown["entries"]}
    assert told == {"reported": [7, 0, 0, 0], "metered": [30, 4, 6, 0]}


async def test_calls__without_a_live_run_have_none(worker: Worker) -> None:
    await worker.plane.connection.execute("UPDATE runs SET state = 'succeeded'")
    await worker.ask("/v1/messages")
    (call,) = await worker.calls()
    assert (call["state"], call["run_id"], call["attempt"]) == ("completed", None, None)


async def test_calls__are_listed_in_pages_for_members_only(worker: Worker) -> None:
    for status in (0, 400, 0):
        await worker.ask("/v1/messages", script({"text": "Yes.", "status": status}))
    everything = await worker.calls()
    assert [call["state"] for call in everything] == ["completed", "refused", "completed"]
    assert await worker.calls(state="refused") == everything[1:2]
    assert await worker.calls(run_id=worker.run_id) == everything
    http = worker.owner.http
    first = (await http.get("/api/v1/model-calls", params={"limit": 2})).json()
    rest = (
        await http.get("/api/v1/model-calls", params={"limit": 2, "cursor": first["next_cursor"]})
    ).json()
    assert [*first["items"], *rest["items"]] == everything
    assert rest["next_cursor"] is None
    elsewhere = await worker.plane.caller((await worker.plane.project("other"), "owner"))
    assert (await elsewhere.http.get("/api/v1/model-calls")).json()["items"] == []
    asked = {"project_id": worker.session["project_id"]}
    assert (await elsewhere.http.get("/api/v1/model-calls", params=asked)).status_code == 404
