"""A model's answer that is cut on its way, anywhere: the run goes on, and says why."""

from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from contracts.events import RunRetrying
from contracts.models import PutModelUpstream
from contracts.reasons import Reason
from tests.fixtures.deadlines import eventually
from tests.fixtures.scripted_model import ScriptedModel, running_model
from tests.fixtures.stack import EmbeddedStack
from tests.system.conftest import Stacks
from tests.system.oracle import examine
from tests.system.visitor import Shadow, Visitor, script

TEXT = "one two three four five six seven eight nine ten"
SLOW = {"text": TEXT, "delay": 0.3}
KEY = "sk-canary-of-the-provider"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Generator[ScriptedModel]:
    place: Path = tmp_path_factory.mktemp("model")
    keys = place / "keys"
    keys.write_text(f"{KEY}\n")
    with running_model(place, "--key-file", str(keys)) as model:
        yield model


@pytest.fixture(scope="module")
async def stack(stacks: Stacks, model: ScriptedModel) -> AsyncGenerator[EmbeddedStack]:
    stack = await stacks.of({"control-plane": {"model_hosts": model.url}})
    project: UUID = await stack.value("SELECT id FROM projects ORDER BY created_at LIMIT 1")
    upstream = PutModelUpstream(
        url=model.url, formats=["messages"], models=["scripted-1"], key=KEY, auth="x-api-key"
    )
    path = f"/api/v1/projects/{project}/model-upstreams/scripted"
    answer = await stack.api.http.put(path, content=msgspec.json.encode(upstream))
    assert answer.status_code == 200, answer.text
    yield stack
    await stacks.close()


def asks(*replies: dict[str, Any], said: str, **options: Any) -> str:
    return script({"model": {"replies": list(replies), "say": said, **options}})


async def retried(shadow: Shadow) -> RunRetrying:
    event = (await shadow.kind("run.retrying")).event
    assert isinstance(event, RunRetrying)
    return event


def outcomes(model: ScriptedModel, former: int) -> list[str]:
    return [line["ended"] for line in model.log()[former:]]


async def test_cut_by_the_provider__is_tried_again_and_comes_whole(
    stack: EmbeddedStack, visitor: Visitor, model: ScriptedModel
) -> None:
    former = len(model.log())
    shadow = await visitor.send(asks({"text": TEXT, "die_after": 3, "times": 1}, said="cut once"))
    run = await visitor.succeeded(shadow)
    assert run.attempt == 2
    why = await retried(shadow)
    assert (why.reason, why.failures) == (Reason.MODEL_STREAM_CUT, 1)
    assert outcomes(model, former) == ["cut on purpose", "complete"]
    await examine(stack, visitor)


@pytest.mark.parametrize("trouble", [{"die_after": 3}, {"die_after": 3, "quiet": True}])
async def test_cut__hidden_by_the_agent_is_no_success(
    stack: EmbeddedStack, visitor: Visitor, model: ScriptedModel, trouble: dict[str, Any]
) -> None:
    former = len(model.log())
    said = f"hidden {trouble}"
    shadow = await visitor.send(asks({"text": TEXT, **trouble}, said=said, ignore_cut=True))
    assert (await retried(shadow)).reason is Reason.MODEL_STREAM_CUT
    await shadow.closed()
    assert outcomes(model, former)[0] == "cut on purpose"


@pytest.mark.parametrize("name", ["relay", "control-plane"])
async def test_cut_by_a_kill__is_tried_again_and_comes_whole(
    stack: EmbeddedStack, visitor: Visitor, model: ScriptedModel, name: str
) -> None:
    former = len(model.log())
    shadow = await visitor.send(asks(SLOW, said=f"kill {name}"))
    await shadow.kind("message.delta")
    killed = await stack.kill9(name)
    await stack.back(name, killed)
    run = await visitor.succeeded(shadow)
    assert run.attempt == 2
    assert (await retried(shadow)).reason is Reason.MODEL_STREAM_CUT

    async def both() -> bool:
        return outcomes(model, former) == ["client left", "complete"]

    await eventually(both, "the provider saw something else")
    await examine(stack, visitor)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(429, Reason.MODEL_RATE_LIMITED), (503, Reason.MODEL_UNAVAILABLE)],
)
async def test_refused__is_tried_again_with_its_reason(
    stack: EmbeddedStack, visitor: Visitor, status: int, reason: Reason
) -> None:
    shadow = await visitor.send(
        asks({"text": TEXT, "status": status, "times": 1}, said=f"refused {status}")
    )
    assert (await visitor.succeeded(shadow)).attempt == 2
    assert (await retried(shadow)).reason is reason


async def test_refused_for_good__ends_with_its_reason(
    stack: EmbeddedStack, visitor: Visitor, model: ScriptedModel
) -> None:
    shadow = await visitor.send(asks({"text": TEXT}, said="a model of others", model="other"))
    assert await shadow.closed() == "failed"
    run = await visitor.run(shadow)
    assert (run.attempt, run.reason) == (1, Reason.MODEL_NOT_FOUND)
    assert KEY not in str([one.event for one in shadow.seen])


async def test_tools_of_the_platform__are_there_for_the_agent(
    stack: EmbeddedStack, visitor: Visitor
) -> None:
    block = {"name": "block_task", "arguments": {"reason": "nobody gave me the key"}}
    shadow = await visitor.send(script({"tool": block}, {"text": "I stop here."}))
    assert (await shadow.kind("tool.accepted")).event is not None
    assert await shadow.closed() == "blocked"
    assert (await visitor.run(shadow)).reason is Reason.BLOCKED_BY_AGENT
    assert "run.warning" not in shadow.kinds()
