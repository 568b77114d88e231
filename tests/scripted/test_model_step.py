"""The scripted agent's `model` step, against the scripted model: what a platform's tests force with
it has to be what real agents do.
"""

import asyncio
import socket
from collections.abc import Generator
from typing import Any
from uuid import uuid4

import pytest
from acp.exceptions import RequestError

from tests.fixtures.deadlines import eventually
from tests.fixtures.scripted_model import ScriptedModel, running_model
from tests.scripted.driven import Agent, Start, script

FORMATS = ("messages", "responses", "chat")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Generator[ScriptedModel]:
    place = tmp_path_factory.mktemp("model")
    (place / "key").write_text("stand-in")
    with running_model(place, "--key-file", str(place / "key")) as running:
        yield running


def env(model: ScriptedModel) -> dict[str, str]:
    return {"BERTH_MODEL_BASE_URL": model.url, "BERTH_MODEL_TOKEN": "stand-in"}


async def prompted(agent: Agent, call: dict[str, Any], *more: dict[str, Any]) -> Any:
    return await agent.prompt(await agent.new(), script({"model": call}, *more))


@pytest.mark.parametrize("wire", FORMATS)
async def test_model__says_what_comes(start: Start, model: ScriptedModel, wire: str) -> None:
    call = {"format": wire, "model": "big", "replies": [{"text": "one two\nthree"}]}
    async with start(**env(model)) as agent:
        result = await prompted(agent, call, {"text": "!"})
        assert result.stop_reason == "end_turn"
        assert agent.client.text == "one two\nthree!"
        assert len(agent.client.of("agent_message_chunk")) == 4
    line = model.log()[-1]
    assert (line["model"], line["side"], line["ended"]) == ("big", False, "complete")


@pytest.mark.parametrize("wire", FORMATS)
@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        ({"status": 429}, "refused"),
        ({"die_at_once": True}, "cut"),
        ({"die_after": 1}, "cut"),
        ({"die_after": 2}, "cut"),
        ({"die_after": 1, "quiet": True}, "cut"),
        ({"fail_after": 1}, "failed"),
    ],
)
async def test_model__trouble_is_the_turns_error(
    start: Start, model: ScriptedModel, wire: str, trouble: dict[str, Any], kind: str
) -> None:
    call = {"format": wire, "replies": [{"text": "one two", **trouble}]}
    async with start(**env(model)) as agent:
        with pytest.raises(RequestError) as raised:
            await prompted(agent, call)
        told: Any = raised.value.data
        assert told["errorKind"] == kind
        assert told.get("status") == trouble.get("status")
        result = await prompted(agent, {**call, "ignore_cut": True}, {"text": " fine"})
        assert result.stop_reason == "end_turn"
        assert agent.client.text.endswith(" fine")


async def test_model__is_asked_again(start: Start, model: ScriptedModel) -> None:
    reply = {"text": "one two", "die_after": 1, "times": 2}
    call = {"say": uuid4().hex, "replies": [reply], "retries": 2}
    async with start(**env(model)) as agent:
        assert (await prompted(agent, call)).stop_reason == "end_turn"
        assert agent.client.text == "one one one two"
    assert [line["ended"] for line in model.log()[-3:]] == [
        "cut on purpose", "cut on purpose", "complete",
    ]  # fmt: skip


async def test_model__a_cancel_leaves_the_call(start: Start, model: ScriptedModel) -> None:
    said = uuid4().hex

    async def asked() -> bool:
        return said in str(model.open())

    async def left() -> bool:
        return not model.open()

    async with start(**env(model)) as agent:
        session_id = await agent.new()
        call = {"say": said, "replies": [{"hang": 600}]}
        turn = asyncio.create_task(agent.prompt(session_id, script({"model": call})))
        await eventually(asked, "the model was not asked")
        await agent.connection.cancel(session_id=session_id)
        assert (await turn).stop_reason == "cancelled"
        await eventually(left, "the call was not given up")


@pytest.mark.parametrize("where", [None, "nobody"])
async def test_model__without_a_gateway(start: Start, where: str | None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/models"
        async with start(**({"BERTH_MODEL_BASE_URL": url} if where else {})) as agent:
            with pytest.raises(RequestError) as raised:
                await prompted(agent, {})
    told: Any = raised.value.data
    assert told["errorKind"] == ("unreachable" if where else "unconfigured")
