"""The runner itself: what it counts, what it writes, what it does not let pass."""

from pathlib import Path
from typing import Any, cast

import pytest

from executor.agents.profile import PROFILES
from tests.agents.dialects import DIALECTS
from tests.conformance.player import Player
from tests.conformance.report import BEGIN, END, Outcome, Report, table, write_table
from tests.conformance.suite import ORDER, lacks
from tests.conformance.trial import Check, Trial
from tests.conformance.without import less, quirks
from tests.system.visitor import Visitor


def test_lacks__names_agents_and_checks_that_there_are() -> None:
    for agent, found in lacks().items():
        assert agent in DIALECTS
        assert set(found) <= set(ORDER), f"{agent}: {set(found) - set(ORDER)}"


def test_quirks__stand_in_profiles_and_name_checks() -> None:
    found = quirks()
    assert len(found) >= 3
    for quirk in found.values():
        profile = (PROFILES / f"{quirk.agent}.toml").read_text()
        assert len(less(profile, quirk)) < len(profile)
        assert set(quirk.shown_by) <= set(ORDER)


def test_without__a_line_that_is_not_there() -> None:
    quirk = next(iter(quirks().values()))
    with pytest.raises(ValueError, match="has no line"):
        less("name = 'nobody'\n", quirk)


def test_table__versions_outcomes_and_why_not(tmp_path: Path) -> None:
    outcomes: dict[str, Outcome] = {"text": "yes", "plan": "n/a", "file": "failed"}
    report = Report()
    for check, outcome in outcomes.items():
        report.told("kimi", check, outcome, seconds=0.1, why="")
    told = table(
        report, ["text", "plan", "file"], {"kimi": {"plan": "none"}}, {"kimi": {"version": "9"}}
    )
    assert told.splitlines() == [
        "| | kimi 9 |",
        "|---|---|",
        "| text | yes |",
        "| plan | n/a (1) |",
        "| file | **failed** |",
        "",
        "1. kimi: none.",
    ]
    document = tmp_path / "agents.md"
    document.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    write_table(document, told)
    assert document.read_text() == f"before\n{BEGIN}\n{told}\n{END}\nafter\n"
    document.write_text("no place")
    with pytest.raises(ValueError, match="no place"):
        write_table(document, told)


async def works(_trial: Trial) -> None:
    """A check that holds."""


async def fails(_trial: Trial) -> None:
    raise AssertionError("it cannot")


@pytest.mark.parametrize(
    ("play", "lack", "outcome"),
    [
        (works, {}, "yes"),
        (fails, {}, "failed"),
        (fails, {"plan": "none"}, "n/a"),
        (works, {"plan": "none"}, "failed"),
    ],
)
async def test_player__what_is_lacking_is_tried(
    play: Any, lack: dict[str, str], outcome: str
) -> None:
    trial = Trial(DIALECTS["kimi"], cast("Any", None), lack, Visitor(cast("Any", None)))
    report = Report()
    await Player(report=report).play(trial, [Check(name="plan", play=play)])
    assert report.outcomes == {"kimi": {"plan": outcome}}
    assert report.checks == 1
    assert report.failed == (["kimi: plan"] if outcome == "failed" else [])
