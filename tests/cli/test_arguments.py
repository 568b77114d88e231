"""What is wrong before anything is asked of a server: code 2, and what would be right."""

import importlib
import inspect
import uuid

import pytest
from cyclopts import App

from cli.__main__ import run
from cli.app import COMMANDS
from cli.exits import Exit

AN_ID = str(uuid.uuid4())

WRONG = {
    "unknown command": (["sail"], "sail"),
    "no text": (["run"], "TEXT"),
    "unknown option": (["ls", "--everything"], "--everything"),
    "not an id": (["show", "seven"], "seven"),
    "agent of a session": (["run", "hello", "--session", AN_ID, "--agent", "x"], "--agent"),
    "no answer": (["reply", AN_ID], "--allow"),
    "two answers": (["reply", AN_ID, "--allow", "--reject"], "--allow"),
    "a setting without a value": (["up", "--set", "gateway.port"], "SERVICE.SETTING=VALUE"),
    "a setting of nobody": (["up", "--set", "captain.hat=1"], "captain"),
    "egress of no profile": (["egress", "set"], "PROFILE"),
    "egress of another profile": (["egress", "set", "all"], "all"),
    "egress to an address": (["egress", "set", "custom", "--host", "10.0.0.1"], "--host 10.0.0.1"),
    "egress to a repository": (["egress", "set", "custom", "--push", "x"], "HOST/PATH"),
    "egress of no app": (["egress", "unset"], "--app"),
    "a git host that is none": (["git", "set", "https://github.com/a/b"], "such as github.com"),
    "a way up for a git host": (["git", "rm", "../members/x"], "such as github.com"),
    "no git host": (["git", "set"], "HOST"),
    "a worker of no session": (["workers", "show", "seven"], "seven"),
    "a list of fewer than none": (["workers", "ls", "--limit", "-1"], "--limit"),
    "a scale of nothing": (["workers", "scale", AN_ID], "--max-workers"),
    "a scale of both": (["workers", "scale", "a", "--cpus", "1", "--warm", "1"], "not of both"),
    "there and back": (["workers", "scale", "a", "--warm", "1", "--default", "warm"], "--warm"),
    "a drain of nobody": (["workers", "drain"], "MANAGER"),
    "limits of nobody": (["limits", "set", "--max-workers", "1"], "--project"),
    "limits of two": (
        ["limits", "set", "--user", AN_ID, "--project", AN_ID, "--max-queued", "1"],
        "--project",
    ),
    "no limit at all": (["limits", "set", "--user", AN_ID], "--runs-per-hour"),
    "a limit of words": (["limits", "set", "--user", AN_ID, "--max-queued", "many"], "many"),
    "not a URL": (["ls", "--url", "localhost:8080", "--key", "bk_x"], "http://"),
}


@pytest.mark.parametrize("case", WRONG)
def test_arguments__wrong(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, named = WRONG[case]
    assert run(arguments) is Exit.USAGE
    assert named in capsys.readouterr().err


def test_help__names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) is Exit.OK
    said = capsys.readouterr().out
    for command in COMMANDS:
        assert command in said


def test_exit_codes__are_fixed() -> None:
    assert {code.name: code.value for code in Exit} == {
        "OK": 0,
        "RUN_FAILED": 1,
        "USAGE": 2,
        "UNREACHABLE": 3,
        "NOT_FOUND": 4,
        "WAITING": 5,
        "DEPENDENCY_MISSING": 6,
        "REFUSED": 7,
        "STILL_RUNNING": 8,
        "KEY_MISSING": 9,
        "INTERNAL": 70,
        "INTERRUPTED": 130,
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_help__is_what_the_command_says_of_itself(name: str) -> None:
    target, shown = COMMANDS[name]
    module, _, attribute = target.partition(":")
    command = getattr(importlib.import_module(module), attribute)
    own = command.help if isinstance(command, App) else inspect.getdoc(command)
    assert shown == own
