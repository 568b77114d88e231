"""The scripted agent, driven by the protocol's own SDK: every message has to pass its models."""

import asyncio
import logging
import os
import select
from pathlib import Path

import pytest
from acp.exceptions import RequestError

from tests.scripted.driven import DEADLINE, Start, said, script


def wait_gone(pid: int) -> bool:
    """A pidfd becomes readable when its process has ended, reaped or not."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([process], [], [], DEADLINE)[0])
    finally:
        os.close(process)


def read_fifo(path: Path) -> str:
    """What was written to it; opened for both directions, so that nothing waits for a writer."""
    fifo = os.open(path, os.O_RDWR)
    try:
        assert select.select([fifo], [], [], DEADLINE)[0], f"nobody wrote to {path.name}"
        return os.read(fifo, 4096).decode()
    finally:
        os.close(fifo)


async def test_turn__text_thought_plan_and_file(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    async with start() as agent:
        session_id = await agent.new()
        result = await agent.prompt(
            session_id,
            script(
                {"think": "let me see"},
                {"plan": [{"content": "write", "status": "in_progress"}]},
                {"text": "one two three"},
                {"write": {"path": "sub/a.txt", "content": "hello\n"}},
                {"shell": "cat sub/a.txt; exit 3"},
                {"usage": {"input": 10, "output": 5, "cost": 0.5}},
            ),
        )
        client = agent.client
        assert result.stop_reason == "end_turn"
        assert result.usage.total_tokens == 15
        assert client.text == "one two three"
        assert len(client.of("agent_message_chunk")) == 3
        assert client.of("plan")[0].entries[0].status == "in_progress"
        assert (agent.workspace / "sub/a.txt").read_text() == "hello\n"
        ends = [u for u in client.of("tool_call_update") if u.status in {"completed", "failed"}]
        assert ends[0].content[0].new_text == "hello\n"
        assert ends[1].status == "failed"
        assert ends[1].raw_output == {"output": "hello\n", "exit_code": 3}
    assert not caplog.records


@pytest.mark.parametrize(
    ("choose", "written", "asks"),
    [
        ("allow_once", True, 2),
        ("allow_always", True, 1),
        ("reject_once", False, 2),
        ("-", False, 2),
    ],
)
async def test_permission__by_kind(start: Start, choose: str, written: bool, asks: int) -> None:  # noqa: FBT001 - a case
    async with start() as agent:
        agent.client.choose = choose
        session_id = await agent.new()
        steps = [
            {"write": {"path": name, "content": "x"}, "ask": True} for name in ("a.txt", "b.txt")
        ]
        result = await agent.prompt(session_id, script(*steps))
        assert result.stop_reason == "end_turn"
        assert (agent.workspace / "b.txt").exists() is written
        assert len(agent.client.asked) == asks


async def test_question__answer_is_said(start: Start) -> None:
    async with start() as agent:
        await agent.prompt(await agent.new(), script({"ask_user": "Which colour?"}))
        assert agent.client.forms == ["Which colour?"]
        assert "blue" in agent.client.text


async def test_memory__survives_in_its_own_store(start: Start) -> None:
    async with start() as agent:
        session_id = await agent.new()
        await agent.prompt(session_id, said("Please remember NONCE is zx81 for me"))
    async with start() as agent:
        await agent.connection.resume_session(session_id=session_id, cwd=str(agent.workspace))
        assert not agent.client.updates
        await agent.prompt(session_id, said("what is NONCE?"))
        assert "zx81" in agent.client.text


async def test_load__replays(start: Start) -> None:
    async with start() as agent:
        session_id = await agent.new()
        await agent.prompt(session_id, script({"text": "hello"}, {"shell": "true"}))
    async with start() as agent:
        await agent.connection.load_session(
            session_id=session_id, cwd=str(agent.workspace), mcp_servers=[]
        )
        kinds = [update.session_update for update in agent.client.updates]
        assert kinds == [
            "user_message_chunk",
            "agent_message_chunk",
            "tool_call",
            "tool_call_update",
        ]
        listed = await agent.connection.list_sessions()
        assert [entry.session_id for entry in listed.sessions] == [session_id]


@pytest.mark.parametrize("session_id", ["nope", "../../etc/passwd"])
async def test_resume__unknown(start: Start, session_id: str) -> None:
    async with start() as agent:
        with pytest.raises(RequestError) as raised:
            await agent.connection.resume_session(session_id=session_id, cwd=str(agent.workspace))
        assert raised.value.code == -32002


async def test_crash__continues_at_the_first_step_not_recorded(
    start: Start, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger"
    async with start() as agent:
        session_id = await agent.new()
        with pytest.raises(ConnectionError):
            await agent.prompt(
                session_id,
                script(
                    {"effect": {"path": str(ledger), "key": "first"}},
                    {"crash": 7},
                    {"effect": {"path": str(ledger), "key": "second"}},
                    {"text": "done"},
                ),
            )
        assert await agent.process.wait() == 7
    async with start() as agent:
        await agent.connection.resume_session(session_id=session_id, cwd=str(agent.workspace))
        await agent.prompt(session_id, said("Please go on."))
        assert ledger.read_text().split() == ["first", "second"]
        assert agent.client.text == "done"
        await agent.prompt(session_id, said("And now?"))
        assert "I heard" in agent.client.text


async def test_crash__interrupted_tool_is_asked_for_again(start: Start) -> None:
    async with start() as agent:
        session_id = await agent.new()
        prompt = script({"shell": "kill -9 $PPID", "ask": True})
        agent.client.choose = "allow_once"
        with pytest.raises(ConnectionError):
            await agent.prompt(session_id, prompt)
    async with start() as agent:
        await agent.connection.resume_session(session_id=session_id, cwd=str(agent.workspace))
        await agent.prompt(session_id, said("Please go on."))
        assert [call.tool_call_id for call in agent.client.asked] == ["call_2"]


async def test_lost_client__is_no_cancel_and_the_turn_goes_on(start: Start, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    async with start() as agent:
        session_id = await agent.new()
        os.mkfifo(agent.workspace / "begun")
        command = "test -e go || { echo > begun; exec sleep 300; }"
        steps = script({"shell": command}, {"effect": {"path": str(ledger), "key": "after"}})
        turn = asyncio.create_task(agent.prompt(session_id, steps))
        await asyncio.to_thread(read_fifo, agent.workspace / "begun")
    await asyncio.gather(turn, return_exceptions=True)
    (agent.workspace / "go").touch()
    async with start() as agent:
        await agent.connection.resume_session(session_id=session_id, cwd=str(agent.workspace))
        await agent.prompt(session_id, said("Please go on."))
        assert ledger.read_text().split() == ["after"]


async def test_cancel__ends_the_turn_and_the_shell(start: Start) -> None:
    async with start() as agent:
        session_id = await agent.new()
        os.mkfifo(agent.workspace / "pid")
        steps = script({"shell": "sleep 300 & echo $! > pid; wait"})
        turn = asyncio.create_task(agent.prompt(session_id, steps))
        pid = await asyncio.to_thread(read_fifo, agent.workspace / "pid")
        await agent.connection.cancel(session_id=session_id)
        assert (await turn).stop_reason == "cancelled"
        assert await asyncio.to_thread(wait_gone, int(pid))
        await agent.prompt(session_id, said("hello"))
        assert "I heard" in agent.client.text


@pytest.mark.parametrize("bad", ["<<SCRIPT[{]SCRIPT>>", '<<SCRIPT[{"jump": 1}]SCRIPT>>'])
async def test_prompt__wrong_script(start: Start, bad: str) -> None:
    async with start() as agent:
        with pytest.raises(RequestError) as raised:
            await agent.prompt(await agent.new(), said(bad))
        assert raised.value.code == -32602


async def test_config__wrong_value_and_mode_strict(start: Start) -> None:
    async with start() as agent:
        session_id = await agent.new()
        with pytest.raises(RequestError) as raised:
            await agent.connection.set_config_option(
                config_id="model", session_id=session_id, value="nope"
            )
        assert raised.value.code == -32602
        await agent.connection.set_config_option(
            config_id="mode", session_id=session_id, value="strict"
        )
        await agent.prompt(session_id, script({"shell": "true"}))
        assert len(agent.client.asked) == 1
