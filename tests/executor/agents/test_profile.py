"""Profiles are data: what they promise is checked when they are read."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from executor.agents.profile import (
    BadProfile,
    UnknownAgent,
    complaints,
    known_agents,
    load_profile,
    parse_profile,
)
from executor.agents.requirements import Missing, available_agents
from executor.agents.templates import command_of, environment_of
from tests.executor.agents.driven import Berth


def install(folder: Path, name: str, said: str) -> None:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\necho {said}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("name", known_agents())
def test_shipped__loads_and_asks_by_default(name: str) -> None:
    profile = load_profile(name)
    assert {"ask", "free", profile.default_mode} <= profile.modes.keys()
    assert profile.mode_values.keys() <= profile.modes.keys()
    assert not any(path.startswith("/") or ".." in path for path in profile.state_dirs)


def test_unknown__lists_the_known() -> None:
    with pytest.raises(UnknownAgent, match="claude-code, codex, opencode, scripted"):
        load_profile("../scripted")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "profile x"),
        ('name = "x"\ntitle = "X"', "command"),
        ('name = "x"\ntitle = "X"\ncommand = ["x"]\nspeed = 1', "speed"),
        ('name = "y"\ntitle = "X"\ncommand = ["x"]', "its name is 'y'"),
        ('name = "x"\ntitle = "X"\ncommand = []', "command"),
        ('name = "x"\ntitle = "X"\ncommand = ["{modle}"]', r"command: .*\{modle\}.*model"),
        ('name = "x"\ntitle = "X"\ncommand = ["x"]\nenv = { A = "{b}" }', r"env\.A"),
        ('name = "x"\ntitle = "X"\ncommand = ["x"]\nenv_json.A.b = ["{c}"]', r"env_json\.A"),
        ('name = "x"\ntitle = "X"\ncommand = ["x"]\nstate_dirs = ["../y"]', "state_dirs"),
        ('name = "x"\ntitle = "X"\ncommand = ["x"]\nmodes = { free = "f" }', "default_mode 'ask'"),
        ('name = "x"\ntitle = "X"\ncommand = ["x"]\nmode_values.a.b = "c"', "mode_values: 'a'"),
    ],
)
def test_wrong__names_the_field(text: str, said: str) -> None:
    with pytest.raises(BadProfile, match=said):
        parse_profile(text, name="x")


def test_available__says_what_is_missing_and_how_to_get_it(tmp_path: Path) -> None:
    offers = available_agents(str(tmp_path))
    assert offers["scripted"] is None
    missing = offers["claude-code"]
    assert isinstance(missing, Missing)
    assert missing.what == "node >= 22, claude-agent-acp"
    assert "npm install" in missing.how


def test_available__old_node(tmp_path: Path) -> None:
    install(tmp_path / "bin", "claude-agent-acp", "0.100.0")
    install(tmp_path / "bin", "node", "v20.1.0")
    missing = available_agents(f"{tmp_path / 'bin'}:{os.defpath}")["claude-code"]
    assert missing is not None
    assert missing.what == "node >= 22"
    install(tmp_path / "bin", "node", "v24.21.0")
    assert available_agents(f"{tmp_path / 'bin'}:{os.defpath}")["claude-code"] is None


def test_available__as_a_command(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "executor.agents", str(tmp_path)],
        capture_output=True, check=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    offers = {offer["agent"]: offer["missing"] for offer in json.loads(told.stdout)}
    assert offers["scripted"] is None
    assert offers["claude-code"]["how"]


def test_environment__leaves_out_what_is_not_set(berth: Berth) -> None:
    profile = load_profile("claude-code")
    env = environment_of(profile, berth.options(model_base_url="http://127.0.0.1:1"))
    assert env["ANTHROPIC_BASE_URL"] == "http://127.0.0.1:1"
    assert "ANTHROPIC_MODEL" not in env
    env = environment_of(profile, berth.options(model="big"))
    assert env["ANTHROPIC_MODEL"] == "big"
    assert "ANTHROPIC_BASE_URL" not in env


def test_command__has_its_full_path(berth: Berth) -> None:
    profile = msgspec.structs.replace(load_profile("scripted"), command=["sh", "-c", "{model}"])
    command = command_of(profile, berth.options(model="big"))
    assert command[0].startswith("/")
    assert command[1:] == ["-c", "big"]


def test_environment__a_table_becomes_json(berth: Berth) -> None:
    profile = load_profile("codex")
    env = environment_of(profile, berth.options(model="big", model_base_url="http://h:1/models"))
    config = json.loads(env["CODEX_CONFIG"])
    assert config["model"] == "big"
    assert config["model_providers"]["berth"]["base_url"] == "http://h:1/models/v1"
    assert config["features"]["plugins"] is False
    assert "model" not in json.loads(environment_of(profile, berth.options())["CODEX_CONFIG"])


def test_environment__names_stand_in_keys_too_and_are_no_templates(berth: Berth) -> None:
    profile = load_profile("opencode")
    env = environment_of(profile, berth.options(model='{home}"'))
    config = json.loads(env["OPENCODE_CONFIG_CONTENT"])
    assert config["provider"]["berth"]["models"] == {'{home}"': {"name": '{home}"'}}
    assert config["small_model"] == 'berth/{home}"'


@pytest.mark.parametrize(
    ("mode", "shell", "edit"),
    [(None, "ask", "ask"), ("free", "allow", "allow"), ("edits", "ask", "allow")],
)
def test_environment__of_the_mode(berth: Berth, mode: str | None, shell: str, edit: str) -> None:
    env = environment_of(load_profile("opencode"), berth.options(model="big", mode=mode))
    permission = json.loads(env["OPENCODE_CONFIG_CONTENT"])["permission"]
    assert (permission["bash"], permission["edit"]) == (shell, edit)


def test_environment__of_a_mode_of_the_agents_own_is_the_strictest(berth: Berth) -> None:
    env = environment_of(load_profile("opencode"), berth.options(model="big", mode="build"))
    assert json.loads(env["OPENCODE_CONFIG_CONTENT"])["permission"]["bash"] == "ask"


# Profiles from outside


@pytest.fixture
def further(tmp_path: Path) -> Path:
    folder = tmp_path / "agents"
    folder.mkdir()
    (folder / "mine.toml").write_text('name = "mine"\ntitle = "Mine"\ncommand = ["sh"]\n')
    (folder / "broken.toml").write_text('name = "broken"\n')
    (folder / "codex.toml").write_text('name = "codex"\ntitle = "Other"\ncommand = ["sh"]\n')
    return folder


def test_further__a_broken_one_is_told_and_harms_no_other(further: Path) -> None:
    offers = available_agents(os.defpath, further)
    assert offers["mine"] is None
    assert offers["scripted"] is None
    broken = offers["broken"]
    assert broken is not None
    assert "profile broken: Object missing required field `title`" in broken.how
    with pytest.raises(BadProfile):
        load_profile("broken", further)


def test_further__a_built_in_one_keeps_its_name(further: Path) -> None:
    assert load_profile("codex", further).title == "Codex"
    assert [str(further / "codex.toml") in told for told in complaints(further)] == [True]


def test_further__need_not_be_there(tmp_path: Path) -> None:
    assert complaints(tmp_path / "none") == []
    assert known_agents(tmp_path / "none") == ["claude-code", "codex", "opencode", "scripted"]


def test_further__as_a_command(further: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "executor.agents", os.defpath, str(further)],
        capture_output=True, check=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    offers = {offer["agent"]: offer["missing"] for offer in json.loads(told.stdout)}
    assert offers["mine"] is None
    assert "title" in offers["broken"]["how"]
    assert b"codex.toml: a built-in agent has this name" in told.stderr
