"""The runner against a real scripted agent process."""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from contracts.events import ResumeLabel, kind_of
from contracts.reasons import Reason
from executor.agents.asks import AskPermission, AskQuestion, Decision
from executor.agents.errors import AgentFailed
from executor.agents.profile import Requirement
from executor.agents.session import AgentSession
from tests.executor.agents.driven import LIMITS, Berth, wait_gone


async def test_turn__events_in_order(berth: Berth) -> None:
    async with berth.opened() as agent:
        result = await agent.turn(
            {"think": "let me see"},
            {"text": "one two three"},
            {"plan": [{"content": "write", "status": "in_progress"}]},
            {"write": {"path": "a.txt", "content": "hello\n"}},
            {"shell": "cat a.txt; exit 3"},
            {"usage": {"input": 10, "output": 5, "cost": 0.5}},
            {"text": "all done"},
        )
        assert (result.outcome, result.reason) == ("completed", Reason.COMPLETED)
        assert result.text == "all done"
        assert result.usage is not None
        assert (result.usage.input_tokens, result.usage.cost_usd) == (10, 0.5)
        kinds = [kind_of(event) for event in agent.desk.events]
        assert kinds == [
            "thought.delta",
            "message.delta", "message.stop",
            "todo.update",
            "tool.call", "tool.update", "tool.result",
            "tool.call", "tool.update", "tool.result",
            "usage.update",
            "message.delta", "message.stop",
            "usage.update",
        ]  # fmt: skip
        written, ran = agent.desk.of("tool.result")
        assert written.diffs[0].new_text == "hello\n"
        assert (ran.status, ran.output, ran.exit_code) == ("failed", "hello\n", 3)


async def test_turn__two_thousand_chunks_keep_their_order(berth: Berth) -> None:
    words = " ".join(str(number) for number in range(2000))
    async with berth.opened() as agent:
        result = await agent.turn({"text": words})
        assert result.text == words
        deltas = agent.desk.of("message.delta")
        assert "".join(delta.text for delta in deltas) == words
        assert len(deltas) < 200


async def test_turn__a_large_message(berth: Berth) -> None:
    text = "x" * 3_000_000
    async with berth.opened() as agent:
        result = await agent.turn({"text": text, "chunks": 1})
        assert result.text == text


async def test_turn__a_full_stderr_does_not_stop_the_agent(berth: Berth) -> None:
    async with berth.opened() as agent:
        result = await agent.turn({"stderr": 1_000_000}, {"text": "still here"})
        assert result.text == "still here"
        assert (berth.log_dir / "scripted.stderr").stat().st_size <= 256 * 1024


async def test_turn__only_the_named_environment(
    berth: Berth, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://secret")
    async with berth.opened() as agent:
        await agent.turn({"shell": "env"})
        output = agent.desk.of("tool.result")[0].output
        assert f"HOME={berth.home}" in output
        assert "secret" not in output


@pytest.mark.parametrize(
    ("stop_reason", "reason"),
    [
        ("max_tokens", Reason.OUTPUT_LIMIT),
        ("refusal", Reason.REFUSED_BY_MODEL),
        ("something_new", Reason.AGENT_ERROR),
    ],
)
async def test_turn__stop_reasons(berth: Berth, stop_reason: str, reason: Reason) -> None:
    async with berth.opened() as agent:
        result = await agent.turn({"stop_reason": stop_reason})
        assert (result.outcome, result.reason) == ("failed", reason)
        assert result.stop_reason == stop_reason
        assert (await agent.say("still there?")).outcome == "completed"


async def test_turn__error_answer_is_typed(berth: Berth) -> None:
    async with berth.opened() as agent:
        result = await agent.turn({"error": {"data": {"errorKind": "rate_limit"}}})
        assert (result.outcome, result.reason) == ("failed", Reason.MODEL_RATE_LIMITED)


async def test_turn__crash_is_explained(berth: Berth) -> None:
    async with berth.opened() as agent:
        result = await agent.turn({"text": "going"}, {"stderr": 10}, {"crash": 7})
        assert (result.outcome, result.reason) == ("failed", Reason.AGENT_CRASHED)
        assert "exit code 7" in result.detail
        assert "eeee" in result.detail
        assert agent.desk.of("message.stop")[0].text == "going"
        assert agent.session.processes == []


async def test_turn__crash_takes_daemons_along(berth: Berth) -> None:
    async with berth.opened() as agent:
        os.mkfifo(berth.workspace / "pid")
        turn = agent.begin(
            {"shell": "trap '' TERM; echo $$ > pid; : > up; exec sleep 300", "detach": True},
            {"shell": "until [ -e up ]; do sleep 0.02; done"},
            {"crash": 1},
        )
        daemon = await agent.pid_from("pid")
        assert (await turn).reason == Reason.AGENT_CRASHED
        assert await asyncio.to_thread(wait_gone, daemon)


# Watchdog and limits


@pytest.mark.parametrize(
    ("kind", "written"), [("allow_once", True), ("allow_always", True), ("reject_once", False)]
)
async def test_permission__by_kind(berth: Berth, kind: str, written: bool) -> None:  # noqa: FBT001 - a case
    async with berth.opened() as agent:
        agent.desk.decisions = [Decision(option_kind=kind)]
        result = await agent.turn(
            {"text": "before"},
            {"write": {"path": "a.txt", "content": "x"}, "ask": True},
            {"text": "after"},
        )
        assert result.outcome == "completed"
        assert (berth.workspace / "a.txt").exists() is written
        ask = agent.desk.asks[0]
        assert isinstance(ask, AskPermission)
        assert (ask.title, ask.kind) == ("Write a.txt", "edit")
        assert ask.shown["content"] == "x"
        assert {o.kind for o in ask.options} == {"allow_once", "allow_always", "reject_once"}
        kinds = [kind_of(event) for event in agent.desk.events]
        assert kinds[:3] == ["message.delta", "message.stop", "tool.call"]


async def test_question__form_and_answer(berth: Berth) -> None:
    async with berth.opened() as agent:
        agent.desk.decisions = [Decision(text="blue"), Decision()]
        result = await agent.turn({"ask_user": "Which colour?"}, {"ask_user": "And now?"})
        ask = agent.desk.asks[0]
        assert isinstance(ask, AskQuestion)
        assert ask.title == "Which colour?"
        said = [event.text for event in agent.desk.of("message.stop")]
        assert '"blue"' in said[0]
        assert result.text == "You did not answer.\n"


async def test_mode__strict_is_applied_after_resume_too(berth: Berth) -> None:
    for resume in (False, True):
        async with berth.started(mode="ask") as agent:
            stored = berth.home / ".scripted/sessions"
            resume_id = next(stored.glob("*.jsonl")).stem if resume else None
            opened = await agent.session.open(resume_id)
            assert (opened.label is ResumeLabel.NATIVE) is resume
            agent.desk.decisions = [Decision(option_kind="reject_once")]
            await agent.turn({"shell": "true"})
            assert len(agent.desk.asks) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"mode": "nope"}, Reason.CAPABILITY_MISSING),
        ({"model": "nope"}, Reason.MODEL_NOT_FOUND),
    ],
)
async def test_open__a_setting_that_is_not_offered(
    berth: Berth, options: dict[str, str], reason: Reason
) -> None:
    async with berth.started(**options) as agent:
        with pytest.raises(AgentFailed) as raised:
            await agent.session.open()
        assert raised.value.reason == reason
        assert "it has:" in raised.value.detail


# Resume


async def test_resume__native_from_the_linked_state_alone(
    berth: Berth, another_berth: Callable[[], Berth]
) -> None:
    async with berth.started() as agent:
        first = await agent.session.open()
        assert (first.label, first.reason) == (ResumeLabel.FRESH, "")
        await agent.say("remember NONCE is zx81")
    other = another_berth()
    for name in berth.profile.state_dirs:
        shutil.copytree(berth.home / name, other.home / name)
    async with other.started() as agent:
        opened = await agent.session.open(first.agent_session_id)
        assert opened.label is ResumeLabel.NATIVE
        assert opened.agent_session_id == first.agent_session_id
        result = await agent.say("recall NONCE")
        assert "zx81" in result.text
        assert len(agent.desk.of("message.stop")) == 1


async def test_resume__by_load_replays_no_events(berth: Berth) -> None:
    berth.profile = msgspec.structs.replace(
        berth.profile, quirks=msgspec.structs.replace(berth.profile.quirks, resume_by_load=True)
    )
    async with berth.started() as agent:
        first = await agent.session.open()
        await agent.turn({"text": "hello"}, {"shell": "true"})
    async with berth.started() as agent:
        opened = await agent.session.open(first.agent_session_id)
        assert opened.label is ResumeLabel.NATIVE
        await agent.turn({"text": "again"})
        assert [event.text for event in agent.desk.of("message.stop")] == ["again"]


async def test_resume__unknown_is_fresh_with_its_reason(berth: Berth) -> None:
    berth.profile = msgspec.structs.replace(berth.profile, state_check=None)
    async with berth.started() as agent:
        opened = await agent.session.open("feedbeef")
        assert opened.label is ResumeLabel.FRESH
        assert opened.agent_session_id != "feedbeef"
        assert "Resource not found" in opened.reason
        assert (await agent.say("hello")).outcome == "completed"


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "not in its store"), ('{"type": "session"}\n{bro\n', "broken")]
)
async def test_resume__checked_before_the_agent_is_asked(
    berth: Berth, content: str | None, reason: str
) -> None:
    if content is not None:
        store = berth.home / ".scripted/sessions"
        store.mkdir(parents=True)
        (store / "feedbeef.jsonl").write_text(content)
    async with berth.started() as agent:
        opened = await agent.session.open("feedbeef")
        assert opened.label is ResumeLabel.FRESH
        assert reason in opened.reason


async def test_resume__after_a_crash_goes_on_where_it_was(berth: Berth, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with berth.started() as agent:
        first = await agent.session.open()
        result = await agent.turn(
            {"effect": {"path": str(ledger), "key": "first"}},
            {"crash": 9},
            {"effect": {"path": str(ledger), "key": "second"}},
        )
        assert result.reason == Reason.AGENT_CRASHED
    async with berth.started() as agent:
        await agent.session.open(first.agent_session_id)
        assert (await agent.say("Please go on.")).outcome == "completed"
    assert ledger.read_text().split() == ["first", "second"]


# Start


async def test_start__missing_program(berth: Berth) -> None:
    wanted = Requirement(program="no-such-agent", how="npm install no-such-agent")
    berth.profile = msgspec.structs.replace(berth.profile, requires=[wanted])
    with pytest.raises(AgentFailed) as raised:
        await AgentSession.start(berth.profile, berth.options())
    assert raised.value.reason == Reason.AGENT_MISSING
    assert "npm install no-such-agent" in raised.value.detail


@pytest.mark.parametrize(
    "command", [["sh", "-c", "echo broken >&2; exit 3"], ["/nowhere/agent"], ["sh", "-c", "echo 1"]]
)
async def test_start__ends_at_once(berth: Berth, command: list[str]) -> None:
    berth.profile = msgspec.structs.replace(berth.profile, command=command)
    with pytest.raises(AgentFailed) as raised:
        await AgentSession.start(berth.profile, berth.options())
    assert raised.value.reason == Reason.AGENT_START_FAILED
    assert "exit code" in raised.value.detail


async def test_start__the_workspace_shadows_no_package(berth: Berth) -> None:
    (berth.workspace / "scripted").mkdir()
    (berth.workspace / "scripted/__init__.py").write_text("raise SystemExit('shadowed')")
    (berth.workspace / "asyncio.py").write_text("raise SystemExit('shadowed')")
    async with berth.opened() as agent:
        assert (await agent.say("hello")).outcome == "completed"


async def test_wire_log__has_both_directions(berth: Berth) -> None:
    async with berth.opened(keep_wire_log=True) as agent:
        await agent.turn({"text": "hello"})
    lines = (berth.log_dir / "scripted.wire").read_text().splitlines()
    methods = [json.loads(line).get("method") for line in lines]
    assert {"initialize", "session/prompt", "session/update"} <= set(methods)


async def test_events__a_failing_sink_fails_the_turn(berth: Berth) -> None:
    async def full(_event: object) -> None:
        raise OSError("the disk is full")

    async with berth.opened() as agent:
        with pytest.raises(OSError, match="the disk is full"):
            await agent.session.turn("hello", on_event=full, ask=agent.desk.ask, limits=LIMITS)


async def test_rude_agent__garbage_and_a_question_taken_back(berth: Berth) -> None:
    rude = Path(__file__).with_name("rude_agent.py")
    berth.profile = msgspec.structs.replace(berth.profile, command=[sys.executable, str(rude)])
    async with berth.opened() as agent:
        turn = asyncio.create_task(agent.say("hello"))
        await agent.desk.asked.wait()
        await agent.session._connection.notify("go on", {})
        result = await turn
        assert (result.outcome, result.stop_reason) == ("completed", "end_turn")
        assert agent.desk.withdrawn == 1
        said = "".join(event.text for event in agent.desk.of("message.stop"))
        assert said == "no method: -32601; taken back: -32800"
        (note,) = agent.desk.of("run.log")
        assert "unknown kind" in note.text
