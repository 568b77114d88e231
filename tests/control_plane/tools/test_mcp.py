"""The Model Context Protocol on the wire: versions, batches, each error."""

import asyncio
from typing import Any

import jsonschema
import msgspec
import pytest

from control_plane.domain import mcp
from control_plane.domain.tool_arguments import SHOWN, WrongArguments, read
from tests.control_plane.tools.conftest import Agent
from tests.fixtures.control_plane import Caller
from tests.fixtures.deadlines import eventually

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
TOLD = {"jsonrpc": "2.0", "method": "notifications/initialized"}


# --- beginning --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("2025-06-18", "2025-06-18"),
        ("2025-03-26", "2025-03-26"),
        ("2024-11-05", "2024-11-05"),
        ("2025-11-25", "2025-11-25"),
        ("1999-01-01", mcp.LATEST),
        ("2026-07-28", mcp.LATEST),
    ],
)
async def test_initialize__speaks_the_version_that_is_asked_or_its_newest(
    agent: Agent, asked: str, given: str
) -> None:
    hello = {
        "jsonrpc": "2.0",
        "id": "first",
        "method": "initialize",
        "params": {
            "protocolVersion": asked,
            "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"},
        },
    }
    answered = await agent.post(hello, version=None)
    assert answered.headers["content-type"] == "application/json"
    assert "mcp-session-id" not in answered.headers
    result = answered.json()["result"]
    assert answered.json()["id"] == "first"
    assert result["protocolVersion"] == given
    assert result["capabilities"] == {"tools": {"listChanged": False}}
    assert result["serverInfo"]["name"] == "berth"


@pytest.mark.parametrize("version", [None, "2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
async def test_header__of_a_version_that_is_spoken(agent: Agent, version: str | None) -> None:
    answered = await agent.post(PING, version=version)
    assert answered.json() == {"jsonrpc": "2.0", "id": 1, "result": {}}


async def test_header__of_another_version(agent: Agent) -> None:
    answered = await agent.post(PING, version="2026-07-28")
    assert answered.status_code == 400
    error = answered.json()["error"]
    assert (error["code"], answered.json()["id"]) == (-32022, 1)
    assert error["data"]["requested"] == "2026-07-28"
    assert "2025-06-18" in error["data"]["supported"]


async def test_notifications__are_heard_without_a_word(agent: Agent) -> None:
    for message in (TOLD, {"jsonrpc": "2.0", "id": 3, "result": {}}):
        answered = await agent.post(message)
        assert (answered.status_code, answered.content) == (202, b"")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_method__of_a_stream_or_a_session(agent: Agent, method: str) -> None:
    answered = await agent.http.request(method, agent.path)
    assert answered.status_code == 405
    assert "POST" in answered.headers["allow"]


async def test_token__of_another_worker(agent: Agent) -> None:
    agent.http.headers["Authorization"] = "Bearer bwt_of_nobody"
    answered = await agent.post(PING)
    assert (answered.status_code, answered.json()["code"]) == (401, "unauthenticated")


# --- errors -----------------------------------------------------------------------------------

BAD_BODIES: dict[str, tuple[Any, int, Any]] = {
    "no JSON": (b"{", -32700, None),
    "nothing": (b"", -32700, None),
    "no UTF-8": (b'{"jsonrpc": "\xff"}', -32700, None),
    "nested without end": (b"[" * 100_000, -32700, None),
    "a number": (b"1", -32600, None),
    "not 2.0": ({"jsonrpc": "1.0", "id": 4, "method": "ping"}, -32600, 4),
    "no method": ({"jsonrpc": "2.0", "id": 4}, -32600, 4),
    "a method that is none": ({"jsonrpc": "2.0", "id": 4, "method": 7}, -32600, 4),
    "id null": ({"jsonrpc": "2.0", "id": None, "method": "ping"}, -32600, None),
    "id true": ({"jsonrpc": "2.0", "id": True, "method": "ping"}, -32600, None),
    "id with a fraction": ({"jsonrpc": "2.0", "id": 1.5, "method": "ping"}, -32600, None),
    "a batch where there are none": ([PING], -32600, None),
}


@pytest.mark.parametrize("case", BAD_BODIES)
async def test_body__that_is_no_request(agent: Agent, case: str) -> None:
    body, code, request_id = BAD_BODIES[case]
    answered = await agent.post(body)
    assert answered.status_code == 400
    assert (answered.json()["error"]["code"], answered.json()["id"]) == (code, request_id)


BAD_REQUESTS: dict[str, tuple[str, Any, int, str]] = {
    "a method of others": ("resources/list", None, -32601, "resources/list"),
    "discovery of later versions": ("server/discover", {}, -32601, "server/discover"),
    "params as a list": ("ping", [], -32602, "params"),
    "initialize without a version": ("initialize", {}, -32602, "protocolVersion"),
    "a second page": ("tools/list", {"cursor": "2"}, -32602, "cursor"),
    "a call of nothing": ("tools/call", {}, -32602, "name"),
    "a call of no tool": ("tools/call", {"name": "rm"}, -32602, "finish_task"),
    "no arguments": ("tools/call", {"name": "finish_task"}, -32602, "summary"),
    "arguments as a text": (
        "tools/call",
        {"name": "finish_task", "arguments": "done"},
        -32602,
        "object",
    ),
    "an empty summary": (
        "tools/call",
        {"name": "finish_task", "arguments": {"summary": ""}},
        -32602,
        "$.summary",
    ),
    "an argument too many": (
        "tools/call",
        {"name": "finish_task", "arguments": {"summary": "x", "mood": "y"}},
        -32602,
        "mood",
    ),
    "options that are none": (
        "tools/call",
        {"name": "ask_user", "arguments": {"question": "x", "options": [1]}},
        -32602,
        "$.options[0]",
    ),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
async def test_request__that_is_refused(agent: Agent, case: str) -> None:
    method, params, code, named = BAD_REQUESTS[case]
    answered = await agent.ask(method, params)
    assert (answered["error"]["code"], answered["id"]) == (code, 7)
    assert named in answered["error"]["message"]


# --- batches ----------------------------------------------------------------------------------


async def test_batch__each_request_gets_its_answer(agent: Agent) -> None:
    bad = {"jsonrpc": "2.0", "id": 2, "method": "nothing"}
    hello = {"jsonrpc": "2.0", "id": 3, "method": "initialize", "params": {}}
    for version in ("2025-03-26", "2024-11-05", None):
        answered = await agent.post([PING, TOLD, bad, hello, 1], version=version)
        assert answered.status_code == 200
        said = [(one["id"], one.get("error", {}).get("code")) for one in answered.json()]
        assert said == [(1, None), (2, -32601), (3, -32600), (None, -32600)]


async def test_batch__of_notifications(agent: Agent) -> None:
    answered = await agent.post([TOLD, TOLD], version="2025-03-26")
    assert (answered.status_code, answered.content) == (202, b"")


@pytest.mark.parametrize("body", [[], [PING] * (mcp.MAX_BATCH + 1)])
async def test_batch__of_nothing_or_of_too_much(agent: Agent, body: list[Any]) -> None:
    answered = await agent.post(body, version="2025-03-26")
    assert (answered.status_code, answered.json()["error"]["code"]) == (400, -32600)


# --- tools ------------------------------------------------------------------------------------


async def test_list__names_each_tool_with_a_schema(agent: Agent) -> None:
    tools = (await agent.ask("tools/list"))["result"]["tools"]
    assert [tool["name"] for tool in tools] == [
        "finish_task",
        "block_task",
        "request_input",
        "ask_user",
    ]
    for tool in tools:
        schema = tool["inputSchema"]
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert "$ref" not in msgspec.json.encode(schema).decode()
        assert all(field["description"] for field in schema["properties"].values())
        assert "nd your turn" in tool["description"]


ARGUMENTS: list[Any] = [
    {},
    {"summary": "s"},
    {"summary": ""},
    {"summary": "s" * 20_001},
    {"summary": 1},
    {"summary": "s", "key": "k"},
    {"summary": "s", "key": "k" * 201},
    {"summary": "s", "more": 1},
    {"reason": "r"},
    {"question": "q"},
    {"question": "q", "options": []},
    {"question": "q", "options": ["a"] * 20},
    {"question": "q", "options": ["a"] * 21},
    {"question": "q", "options": [""]},
    {"question": "q", "options": None},
    [],
    "text",
]


@pytest.mark.parametrize("tool", SHOWN)
@pytest.mark.parametrize("given", ARGUMENTS, ids=range(len(ARGUMENTS)))
def test_schema__says_what_is_enforced(tool: str, given: Any) -> None:
    shown = next(one for one in mcp.listed() if one["name"] == tool)
    fits = jsonschema.Draft202012Validator(shown["inputSchema"]).is_valid(given)
    try:
        read(tool, given)
    except WrongArguments:
        assert not fits
    else:
        assert fits


async def test_call__says_what_to_do_next(agent: Agent, member: Caller) -> None:
    said = (await agent.call("finish_task", summary="all is done"))["result"]
    assert said["isError"] is False
    assert [part["type"] for part in said["content"]] == ["text"]
    assert "End your turn" in said["content"][0]["text"]
    row = await agent.plane.connection.fetchrow("SELECT tool, words, run_id FROM tool_calls")
    assert tuple(row or ()) == ("finish_task", "all is done", agent.run_id)


async def test_call__of_a_superseded_worker_is_told_why(agent: Agent) -> None:
    await agent.plane.connection.execute("UPDATE session_workers SET superseded_at = now()")
    said = (await agent.call("finish_task", summary="done"))["result"]
    assert said["isError"] is True
    assert "superseded" in said["content"][0]["text"]
    assert (await agent.ask("tools/list"))["result"]["tools"]


async def test_call__without_a_live_run_is_told_why(agent: Agent) -> None:
    await agent.plane.connection.execute("UPDATE runs SET state = 'succeeded', finished_at = now()")
    said = (await agent.call("finish_task", summary="done"))["result"]
    assert said["isError"] is True
    assert "no run" in said["content"][0]["text"]


async def test_ask_user__is_answered_by_a_person(agent: Agent, member: Caller) -> None:
    asking = asyncio.create_task(agent.call("ask_user", question="Which?", options=["a", "b"]))

    async def pending() -> list[Any]:
        return (await member.http.get("/api/v1/human-loop/pending")).json()["items"]

    (request,) = await eventually(pending, "nothing was asked")
    assert [option["name"] for option in request["options"]] == ["a", "b"]
    replied = await member.http.post(
        f"/api/v1/human-loop/{request['id']}/reply", json={"option_id": "2"}
    )
    assert replied.status_code == 200, replied.text
    said = (await asking)["result"]
    assert said["content"][0]["text"] == "The person answered:\nb"


async def test_ask_user__whose_agent_left_is_answered_by_a_message(
    agent: Agent, member: Caller
) -> None:
    asking = asyncio.create_task(agent.call("ask_user", question="Which?"))

    async def to(answer_to: str) -> Any:
        query = "SELECT id FROM human_loop_requests WHERE answer_to = $1"
        return await agent.plane.connection.fetchval(query, answer_to)

    request_id = await eventually(lambda: to("tool"), "nothing was asked")
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    await eventually(lambda: to("message"), "it is still waited for")
    await member.http.post(f"/api/v1/human-loop/{request_id}/reply", json={"text": "blue"})
    prompts = await agent.plane.connection.fetch(
        "SELECT p.prompt FROM run_payloads p JOIN runs r ON r.id = p.run_id ORDER BY r.line_no"
    )
    assert len(prompts) == 2
    assert prompts[1]["prompt"].endswith("blue")
