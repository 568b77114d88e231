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
    Missing,
    UnknownAgent,
    available_agents,
    command_of,
    environment_of,
    known_agents,
    load_profile,
    parse_profile,
)
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
    assert not any(path.startswith("/") or ".." in path for path in profile.state_dirs)


def test_unknown__lists_the_known() -> None:
    with pytest.raises(UnknownAgent, match="claude-code, scripted"):
        load_profile("../scripted")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = ", "profile x"),
        ('name = "x"\ntitle = "X"', "command"),
        ('name = "x"\ntitle = "X"\ncommand = ["x"]\nspeed = 1', "speed"),
        ('name = "y"\ntitle = "X"\ncommand = ["x"]', "its name is 'y'"),
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
