"""The rule about skips, by itself."""

import pytest

from tests.fixtures.strict import objection


@pytest.mark.parametrize("required", [[], ["agents"]])
def test_skip__may_stand_when_its_requirement_is_not_asked_for(required: list[str]) -> None:
    assert objection("Skipped: docker: no engine answers", required) is None


@pytest.mark.parametrize("required", [["docker"], ["agents", "docker"], ["all"]])
def test_skip__fails_when_its_requirement_is_asked_for(required: list[str]) -> None:
    assert "docker is required" in str(objection("Skipped: docker: no engine answers", required))


@pytest.mark.parametrize("reason", ["Skipped: not today", "Skipped", "Skipped: network: down"])
def test_skip__must_name_a_requirement(reason: str) -> None:
    assert "names its requirement" in str(objection(reason, []))
