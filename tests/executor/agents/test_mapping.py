"""Updates as three real agents send them, and as none should."""
# ruff: noqa: E501 - messages as they stand on the wire

import json
from typing import Any

import msgspec
import pytest

from contracts.events import AnyEvent, Event, ToolResult, UsageUpdate, kind_of
from executor.agents.mapping import MAX_MESSAGE, Mapper
from executor.agents.profile import load_profile
from executor.agents.updates import Permission, TurnUsage


def chunk(text: str, message_id: str | None = "m1", kind: str = "agent_message_chunk") -> Any:
    update: dict[str, Any] = {"sessionUpdate": kind, "content": {"type": "text", "text": text}}
    return update if message_id is None else {**update, "messageId": message_id}


def run(mapper: Mapper, *updates: Any) -> list[Any]:
    return [event for update in updates for event in mapper.update(update)]


def kinds(events: list[Event]) -> list[str]:
    return [kind_of(event) for event in events]


CLAUDE_WRITE = [
    """{"sessionUpdate":"tool_call","toolCallId":"toolu_29","name":"Write","rawInput":{},"status":"pending","title":"Preparing file…","kind":"edit","content":[],"locations":[],"_meta":{"claudeCode":{"toolName":"Write"}}}""",
    """{"sessionUpdate":"tool_call_update","toolCallId":"toolu_29","rawInput":{"file_path":"/w/hello.txt","content":"hello world\\n"},"title":"Write hello.txt","content":[{"type":"diff","path":"/w/hello.txt","oldText":null,"newText":"hello world\\n"}],"locations":[{"path":"/w/hello.txt"}]}""",
    """{"sessionUpdate":"tool_call_update","toolCallId":"toolu_29","status":"completed"}""",
]
CLAUDE_BASH = [
    """{"sessionUpdate":"tool_call","toolCallId":"toolu_34","name":"Bash","rawInput":{},"status":"pending","title":"Terminal","kind":"execute","content":[]}""",
    """{"sessionUpdate":"tool_call_update","toolCallId":"toolu_34","rawInput":{"command":"ls","description":"list"},"title":"ls","content":[{"type":"content","content":{"type":"text","text":"list"}}]}""",
    """{"sessionUpdate":"tool_call_update","toolCallId":"toolu_34","status":"completed","rawOutput":"hello ACP\\nhello.txt\\nsh.txt","content":[{"type":"content","content":{"type":"text","text":"```console\\nhello ACP…```"}}]}""",
]
CODEX_EXEC = [
    """{"sessionUpdate":"tool_call","toolCallId":"call_52","name":"exec_command","kind":"execute","title":"cat hello.txt","status":"in_progress","content":[{"type":"terminal","terminalId":"call_52"}],"rawInput":{"command":"cat hello.txt","cwd":"/w"},"_meta":{"terminal_info":{}}}""",
    """{"sessionUpdate":"tool_call_update","toolCallId":"call_52","_meta":{"terminal_output_delta":{"data":"hello ","terminal_id":"call_52"}}}""",
    """{"sessionUpdate":"tool_call_update","toolCallId":"call_52","status":"completed","_meta":{"terminal_output_delta":{"data":"ACP\\n","terminal_id":"call_52"},"terminal_exit":{"exit_code":0,"signal":null}}}""",
]
OPENCODE_BASH = [
    """{"sessionUpdate":"tool_call","toolCallId":"call_64","title":"bash","kind":"execute","status":"pending","rawInput":{}}""",
    """{"sessionUpdate":"tool_call_update","toolCallId":"call_64","status":"in_progress","rawInput":{"command":"cat hello.txt"}}""",
    """{"sessionUpdate":"tool_call_update","toolCallId":"call_64","status":"completed","title":"cat","content":[{"type":"content","content":{"type":"text","text":"hello ACP\\n…"}}],"rawOutput":{"output":"hello ACP\\nall","metadata":{"exit":0,"truncated":false}}}""",
]
OPENCODE_WRITE = [
    """{"sessionUpdate":"tool_call","toolCallId":"call_7","title":"write","kind":"edit","status":"pending","rawInput":{}}""",
    """{"sessionUpdate":"tool_call_update","toolCallId":"call_7","status":"in_progress","rawInput":{"filePath":"/w/a.txt","content":"hello\\n"}}""",
    """{"sessionUpdate":"tool_call_update","toolCallId":"call_7","status":"completed","title":"a.txt","content":[{"type":"content","content":{"type":"text","text":"Wrote file successfully."}}]}""",
]
OPENCODE = load_profile("opencode").quirks


def test_claude__write_with_input_and_diff_told_later() -> None:
    events = run(Mapper(), *map(json.loads, CLAUDE_WRITE))
    assert kinds(events) == ["tool.call", "tool.update", "tool.result"]
    call, update, result = events
    assert (call.tool, call.tool_kind, call.input) == ("Write", "edit", None)
    assert update.title == "Write hello.txt"
    assert update.input["file_path"] == "/w/hello.txt"
    assert (update.diffs[0].old_text, update.diffs[0].new_text) == (None, "hello world\n")
    assert (result.status, result.diffs) == ("completed", update.diffs)


def test_claude__output_without_its_fence() -> None:
    _, update, result = run(Mapper(), *map(json.loads, CLAUDE_BASH))
    assert (update.title, update.output_delta) == ("ls", "")
    assert result.output == "hello ACP\nhello.txt\nsh.txt"


def test_codex__output_beside_the_protocol() -> None:
    events = run(Mapper(), *map(json.loads, CODEX_EXEC))
    assert kinds(events) == ["tool.call", "tool.update", "tool.result"]
    assert events[1].output_delta == "hello "
    assert (events[2].output, events[2].exit_code) == ("hello ACP\n", 0)


def test_opencode__output_and_exit_code() -> None:
    events = run(Mapper(), *map(json.loads, OPENCODE_BASH))
    assert kinds(events) == ["tool.call", "tool.update", "tool.result"]
    assert (events[1].status, events[1].input) == ("in_progress", {"command": "cat hello.txt"})
    assert (events[2].output, events[2].exit_code) == ("hello ACP\nall", 0)


def test_opencode__what_it_wrote_is_in_the_input() -> None:
    result = run(Mapper(OPENCODE), *map(json.loads, OPENCODE_WRITE))[-1]
    assert [(diff.path, diff.new_text) for diff in result.diffs] == [("/w/a.txt", "hello\n")]
    failed = [*OPENCODE_WRITE[:2], OPENCODE_WRITE[2].replace("completed", "failed")]
    assert run(Mapper(OPENCODE), *map(json.loads, failed))[-1].diffs == []
    assert run(Mapper(), *map(json.loads, OPENCODE_WRITE))[-1].diffs == []


def test_opencode__todos_in_a_tool_call() -> None:
    update = {
        "sessionUpdate": "tool_call_update",
        "toolCallId": "call_1",
        "title": "todowrite",
        "rawInput": {"todos": [{"content": "a", "status": "cancelled", "priority": "high"}]},
    }
    assert kinds(run(Mapper(), update)) == ["tool.call"]
    events = run(Mapper(OPENCODE), update)
    assert kinds(events) == ["todo.update", "tool.call"]
    assert (events[0].entries[0].status, events[0].entries[0].priority) == ("pending", "high")


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (
            '{"sessionUpdate":"usage_update","used":170,"size":1000000,"cost":{"amount":0.5,"currency":"USD"},"_meta":{"_claude/model":"opus"}}',
            UsageUpdate(model="opus", context_used=170, context_size=1000000, cost_usd=0.5),
        ),
        (
            '{"sessionUpdate":"usage_update","used":120,"size":258400}',
            UsageUpdate(context_used=120, context_size=258400),
        ),
    ],
)
def test_usage__reported(update: str, expected: UsageUpdate) -> None:
    assert run(Mapper(), json.loads(update)) == [expected]


def test_usage__of_the_turn_with_the_last_cost() -> None:
    mapper = Mapper()
    cost = {"amount": 0.25, "currency": "USD"}
    run(mapper, {"sessionUpdate": "usage_update", "used": 1, "size": 2, "cost": cost})
    result = '{"inputTokens":250,"outputTokens":100,"thoughtTokens":25,"cachedReadTokens":50}'
    assert mapper.usage(msgspec.json.decode(result, type=TurnUsage)) == UsageUpdate(
        input_tokens=250, output_tokens=100, thought_tokens=25, cached_tokens=50, cost_usd=0.25
    )


# Messages


def test_message__ends_with_another_kind_or_id_or_the_turn() -> None:
    mapper = Mapper()
    plan = {"sessionUpdate": "plan", "entries": [{"content": "a", "status": "completed"}]}
    usage = {"sessionUpdate": "usage_update", "used": 1, "size": 2}
    events = run(mapper, chunk("a"), usage, chunk("b"), plan, chunk("c"), chunk("d", "m2"))
    events += mapper.finish()
    stops = [(e.message_id, e.text) for e in events if kind_of(e) == "message.stop"]
    assert stops == [("m1", "ab"), ("m1#2", "c"), ("m2", "d")]
    assert mapper.text == "d"


def test_message__thoughts_keep_one_id_until_something_else_comes() -> None:
    thought = chunk("hm", None, "agent_thought_chunk")
    events = run(Mapper(), thought, thought, chunk("said", None), thought)
    assert [e.message_id for e in events if kind_of(e) == "thought.delta"] == [
        "thought",
        "thought",
        "thought#2",
    ]


def test_message__surrogates_and_nul() -> None:
    mapper = Mapper()
    events = run(mapper, chunk("ok \ud83d"), chunk("\ude00\0"), chunk("\udc00x\ud800"))
    events += mapper.finish()
    assert mapper.text == "ok \U0001f600\ufffd\ufffdx\ufffd"
    assert "".join(e.text for e in events if kind_of(e) == "message.delta") == mapper.text


def test_message__other_content_is_told() -> None:
    update = chunk("")
    update["content"] = {"type": "image", "data": "…"}
    assert kinds(run(Mapper(), update)) == ["run.log"]


# Tools


def test_tool__without_a_beginning() -> None:
    update = {"sessionUpdate": "tool_call_update", "toolCallId": "t", "status": "failed"}
    assert kinds(run(Mapper(), update)) == ["tool.call", "tool.result"]


def test_tool__after_its_end_nothing() -> None:
    update = {"sessionUpdate": "tool_call_update", "toolCallId": "t", "status": "completed"}
    assert kinds(run(Mapper(), update, update)) == ["tool.call", "tool.result"]


def test_tool__open_at_the_end_is_canceled() -> None:
    mapper = Mapper()
    run(mapper, *map(json.loads, CODEX_EXEC[:2]))
    assert mapper.open_calls == 1
    (result,) = mapper.finish()
    assert isinstance(result, ToolResult)
    assert (result.status, result.output) == ("canceled", "hello ")


def test_tool__asked_before_it_was_told() -> None:
    mapper = Mapper()
    run(mapper, chunk("may I"))
    request = {"toolCall": {"toolCallId": "t", "title": None, "rawInput": {"a": 1}}, "options": []}
    events = mapper.asked(msgspec.convert(request, Permission).tool_call)
    assert kinds(events) == ["message.stop", "tool.call"]
    assert mapper.call("t").described.input == {"a": 1}


@pytest.mark.parametrize("streamed", [True, False])
def test_tool__output_is_cut(streamed: bool) -> None:  # noqa: FBT001 - a case
    big = "x" * 300_000
    update: dict[str, Any] = {"sessionUpdate": "tool_call_update", "toolCallId": "t"}
    if streamed:
        update["_meta"] = {"terminal_output_delta": {"data": big}}
    else:
        update["rawOutput"] = big
    result = run(Mapper(), {**update, "status": "completed"})[-1]
    assert result.truncated
    assert len(result.output) < 263_000
    assert "37856 more characters were cut" in result.output


def test_tool__huge_and_deep_input() -> None:
    deep: Any = 1
    for _ in range(500):
        deep = [deep]
    update = {"sessionUpdate": "tool_call", "toolCallId": "t", "title": "x"}
    (call,) = run(Mapper(), {**update, "rawInput": {"deep": deep, "int": 10**30, "nul": "\0"}})
    assert call.input["int"] == str(10**30)
    assert call.input["nul"] == "\ufffd"
    assert "nested too deep" in msgspec.json.encode(call).decode()
    (call,) = run(Mapper(), {**update, "rawInput": {"content": "y" * 300_000}})
    assert call.input["truncated"]


# What nobody should send


@pytest.mark.parametrize(
    "update",
    [
        {},
        {"sessionUpdate": "from_tomorrow", "x": "\ud800"},
        {"sessionUpdate": ["list"]},
        {"sessionUpdate": "tool_call"},
        {"sessionUpdate": "plan", "entries": 7},
        {"sessionUpdate": "agent_message_chunk", "content": None},
    ],
)
def test_unknown__is_told_and_storable(update: Any) -> None:
    (event,) = Mapper().update(update)
    assert kind_of(event) == "run.log"
    msgspec.json.decode(msgspec.json.encode(event), type=AnyEvent)


def test_codex__system_error() -> None:
    mapper = Mapper()
    meta = {"codex": {"threadStatus": {"type": "systemError"}}}
    assert run(mapper, {"sessionUpdate": "session_info_update", "_meta": meta}) == []
    assert mapper.system_error


def test_message__without_an_end_is_cut() -> None:
    mapper = Mapper()
    for _ in range(40):
        mapper.update(chunk("\1" * 100_000))
    stop = mapper.finish()[0]
    assert len(msgspec.json.encode(stop)) < MAX_MESSAGE + 200
    kept = mapper.text.count("\1")
    assert mapper.text.endswith(f"[… {4_000_000 - kept} more characters were cut]")
    assert getattr(stop, "text", "") == mapper.text
