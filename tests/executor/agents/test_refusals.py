"""What a person's no is to a run, whatever an agent makes of it."""

import json
import sys
from pathlib import Path

import msgspec
import pytest

from contracts.reasons import Reason
from executor.agents.asks import Decision
from executor.agents.verdict import judge
from tests.executor.agents.driven import Berth

CURT = str(Path(__file__).with_name("curt_agent.py"))


@pytest.fixture
def curt(berth: Berth) -> Berth:
    berth.profile = msgspec.structs.replace(
        berth.profile, modes={}, session_meta={"maker": {"option": [1]}}
    )
    return berth


def commanded(berth: Berth, *arguments: str) -> Berth:
    command = [sys.executable, CURT, *arguments]
    berth.profile = msgspec.structs.replace(berth.profile, command=command)
    return berth


@pytest.mark.parametrize("stop_reason", ["end_turn", "cancelled"])
async def test_refused__is_neither_success_nor_canceled(curt: Berth, stop_reason: str) -> None:
    async with commanded(curt, stop_reason).opened() as agent:
        agent.desk.decisions = [Decision(option_kind="reject_once")]
        result = await agent.say("go")
        assert (result.outcome, result.reason) == ("failed", Reason.REFUSED_BY_PERSON)


async def test_refused__an_agent_that_goes_on_has_done_its_work(curt: Berth) -> None:
    async with commanded(curt, "end_turn", "goes-on").opened() as agent:
        agent.desk.decisions = [Decision(option_kind="reject_once")]
        result = await agent.say("go")
        assert (result.outcome, result.text) == ("completed", "then not")


async def test_allowed__silence_after_it_is_success(curt: Berth) -> None:
    async with commanded(curt, "end_turn").opened() as agent:
        agent.desk.decisions = [Decision(option_kind="allow_once")]
        result = await agent.say("go")
        assert (result.outcome, result.reason) == ("completed", Reason.COMPLETED)


async def test_opened__with_our_tools_and_what_the_profile_says(curt: Berth) -> None:
    url = "http://127.0.0.1:1/tools/mcp"
    async with commanded(curt, "end_turn").opened(tools_url=url) as agent:
        told = json.loads((agent.workspace / "opened.json").read_text())
        assert told["mcpServers"] == [
            {"type": "http", "name": "platform", "url": url, "headers": []}
        ]
        assert told["_meta"] == {"maker": {"option": [1]}}


async def test_opened__our_tools_are_not_for_who_cannot_reach_them(curt: Berth) -> None:
    deaf = commanded(curt, "end_turn", "no-http")
    async with deaf.opened(tools_url="http://127.0.0.1:1") as agent:
        told = json.loads((agent.workspace / "opened.json").read_text())
        assert told["mcpServers"] == []


@pytest.mark.parametrize(
    ("ending", "abandoned", "expected"),
    [
        (Reason.CANCELED, False, "canceled"),
        (Reason.AGENT_SILENT, False, "failed"),
        (None, True, "stopped"),
        (None, False, "failed"),
    ],
)
def test_refused__what_we_asked_for_comes_first(
    ending: Reason | None,
    abandoned: bool,  # noqa: FBT001 - a case
    expected: str,
) -> None:
    verdict = judge(
        failure=None,
        stop_reason="cancelled",
        ending=ending,
        refused=True,
        went_on=False,
        abandoned=abandoned,
        system_error=False,
    )
    assert verdict.outcome == expected
    assert (verdict.reason is Reason.REFUSED_BY_PERSON) is (ending is None and not abandoned)
