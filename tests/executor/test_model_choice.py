"""The model of a run that names none: asked of the platform, by the agent's own socket."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from contracts.reasons import Reason
from contracts.relay import NamedUpstream
from executor.agents.errors import AgentFailed, ModelMissing
from executor.agents.profile import PROFILES
from executor.services.runs.model_choice import default_model
from tests.executor.modelled import WayOut, way_out
from tests.executor_manager.relay.witness import Request, Witness, bind_agent
from tests.executor_manager.relays import Relay
from tests.fixtures.object_store import StoreServer

TWO = b'{"object": "list", "data": [{"id": "first", "type": "model"}, {"id": "second"}]}'
NONE = b'{"object": "list", "data": []}'


@pytest.fixture
async def witness() -> AsyncGenerator[Witness]:
    async with Witness() as witness:
        yield witness


@pytest.fixture
async def agent_dir(place: Path, witness: Witness) -> AsyncGenerator[Path]:
    async with Relay(place / "relay", RELAY_WAIT_SECONDS="1") as relay:
        yield (await bind_agent(relay, witness.as_worker())).agent.path.parent


def answers(witness: Witness, body: bytes, status: int = 200) -> None:
    async def answer(_request: Request, writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    witness.answer = answer


async def test_default__is_the_first_that_is_offered(agent_dir: Path, witness: Witness) -> None:
    answers(witness, TWO)
    assert await default_model(agent_dir, "messages") == "first"
    assert witness.seen[0].line == "GET /worker/models/v1/models?format=messages HTTP/1.1"


async def test_default__none_is_offered(agent_dir: Path, witness: Witness) -> None:
    answers(witness, NONE)
    with pytest.raises(ModelMissing, match="no model in the format chat; set an upstream"):
        await default_model(agent_dir, "chat")


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, b"{}", Reason.MODEL_UNAVAILABLE),
        (200, b"<html>", Reason.MODEL_UNAVAILABLE),
        (404, b"{}", Reason.MODEL_NOT_FOUND),
        (500, b"", Reason.MODEL_UNAVAILABLE),
    ],
)
async def test_default__an_answer_that_is_none(
    agent_dir: Path, witness: Witness, status: int, body: bytes, reason: Reason
) -> None:
    answers(witness, body, status)
    with pytest.raises(AgentFailed) as caught:
        await default_model(agent_dir, "chat")
    assert caught.value.reason is reason


async def test_default__nobody_can_be_asked(agent_dir: Path, witness: Witness) -> None:
    await witness.stop()
    with pytest.raises(AgentFailed) as caught:
        await default_model(agent_dir, "chat")
    assert caught.value.reason is Reason.MODEL_UNAVAILABLE
    with pytest.raises(AgentFailed, match="could not be asked for"):
        await default_model(agent_dir / "nowhere", "chat")


@pytest.fixture
async def way(
    place: Path, object_store_server: StoreServer, witness: Witness
) -> AsyncGenerator[WayOut]:
    profiles = place / "profiles"
    profiles.mkdir()
    profile = (PROFILES / "scripted.toml").read_text().replace('"scripted"', '"asker"', 1)
    profile = profile.replace("[env]", '[model]\nformat = "chat"\nfree_names = true\n\n[env]\n')
    profile = profile.replace("[env]", '[env]\nASKED_MODEL = "{model}"')
    (profiles / "asker.toml").write_text(profile)
    upstream: NamedUpstream = witness.as_worker()
    async with way_out(place, object_store_server, upstream, agent_profiles_dir=profiles) as way:
        yield way


async def model_seen(way: WayOut, model: str | None = None) -> str:
    shell = {"shell": 'printf %s "$ASKED_MODEL"'}
    finish = await way.run(shell, agent="asker", model=model)
    assert finish.state == "succeeded", finish
    return str(way.outside.events("tool.result")[-1]["output"])


async def test_run__without_a_model_gets_the_first(way: WayOut, witness: Witness) -> None:
    answers(witness, TWO)
    assert await model_seen(way) == "first"
    assert await model_seen(way, "third") == "third"
    assert len(witness.seen) == 1


async def test_run__of_a_project_without_models_is_blocked(way: WayOut, witness: Witness) -> None:
    answers(witness, NONE)
    finish = await way.run({"text": "never"}, agent="asker")
    assert (finish.state, finish.reason) == ("blocked", Reason.MODEL_NOT_FOUND)
    assert "berth models set" in finish.detail
