"""The capability gate: what a run needs is asked of the agent itself and of its profile."""

from pathlib import Path

import pytest

from contracts.events import ResumeLabel
from contracts.reasons import ADVICE, Reason
from contracts.runs import Need
from contracts.spool import RunFinishedReported, RunStartedReported
from tests.executor.mortal import profiles_in
from tests.executor.outside import Outside
from tests.executor.running import running

SCRIPTED = [Need.RESUME, Need.PERMISSIONS, Need.MODES, Need.MCP]
MORTAL = [Need.RESUME, Need.MODES, Need.IMAGES, Need.MCP]


@pytest.mark.parametrize(("agent", "has"), [("scripted", SCRIPTED), ("mortal", MORTAL)])
async def test_needs__what_the_agent_has_is_enough(
    place: Path, outside: Outside, agent: str, has: list[Need]
) -> None:
    async with running(place, outside, agent_profiles_dir=profiles_in(place)) as executor:
        await executor.start({"text": "x"}, agent=agent, needs=[need.value for need in has])
        finish = await executor.finish()
    assert (finish.state, finish.reason) == ("succeeded", Reason.COMPLETED)
    assert outside.of(RunStartedReported)[0].resume is ResumeLabel.FRESH


@pytest.mark.parametrize(("agent", "has"), [("scripted", SCRIPTED), ("mortal", MORTAL)])
async def test_needs__what_it_lacks_blocks_with_what_it_has(
    place: Path, outside: Outside, agent: str, has: list[Need]
) -> None:
    lacking = [*(need.value for need in Need if need not in has), "of_a_later_version"]
    async with running(place, outside, agent_profiles_dir=profiles_in(place)) as executor:
        for number, need in enumerate(lacking, start=1):
            await executor.start({"text": "x"}, agent=agent, needs=[has[0].value, need])
            await executor.finish(number)
    finishes = outside.of(RunFinishedReported)
    assert {(one.state, one.reason) for one in finishes} == {("blocked", Reason.CAPABILITY_MISSING)}
    for one, need in zip(finishes, lacking, strict=True):
        assert f"lacks {need}; it has {', '.join(has)}" in one.detail
        assert not one.retryable
    assert not outside.of(RunStartedReported)
    assert "Choose an agent" in ADVICE[Reason.CAPABILITY_MISSING].remedy
