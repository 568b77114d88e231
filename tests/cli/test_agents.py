"""`berth agents`: what is offered, and what is said where nothing can be talked with."""

import pytest

from cli.__main__ import run
from cli.exits import Exit
from tests.fixtures.commands import Up


def test_ls__what_each_manager_offers(up: Up) -> None:
    rows = {one["agent"]: one for one in up.run("agents", "ls", "--json").json()}
    assert rows["scripted"]["missing"] == ""
    assert rows["scripted"]["manager"]
    assert "codex" in rows
    for line in up.run("agents", "ls").lines():
        manager, agent, told = line.split("\t")
        assert (manager, agent) == (rows[agent]["manager"], rows[agent]["agent"])
        assert told == (rows[agent]["missing"] or "offered")


def test_check__an_agent_that_nobody_offers(up: Up) -> None:
    done = up.run("agents", "check", "parrot")
    assert done.code == Exit.DEPENDENCY_MISSING
    assert "parrot cannot run" in done.err


def test_check__any_agent_that_is_offered(up: Up) -> None:
    assert up.run("agents", "check", "scripted").lines() == ["scripted is offered"]
    assert "scripted is offered" in up.run("agents", "check").lines()


def test_check__live_with_one_whose_format_is_not_known(up: Up) -> None:
    done = up.run("agents", "check", "scripted", "--live", OPENAI_API_KEY="a-key")
    assert done.code == Exit.USAGE
    assert "scripted is not built in: say what it speaks" in done.err


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ([], "ANTHROPIC_API_KEY or OPENAI_API_KEY"),
        (["claude-code"], "ANTHROPIC_API_KEY"),
        (["codex", "opencode"], "OPENAI_API_KEY"),
    ],
)
def test_check__live_without_a_key(
    names: list[str],
    wanted: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ANTHROPIC_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    assert run(["agents", "check", *names, "--live"]) is Exit.KEY_MISSING
    assert f"Set {wanted} (or the same with _FILE)" in capsys.readouterr().err
