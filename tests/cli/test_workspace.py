"""`berth workspace verify` against a real stack: nothing wrong, then a pack that is missing."""

import uuid

import pytest

from cli.exits import Exit
from tests.fixtures.commands import Up


def test_verify__finds_nothing_wrong_in_what_runs_saved(up: Up) -> None:
    assert up.run("run", "--agent", "scripted", "one").code == Exit.OK
    done = up.run("workspace", "verify", "--all")
    assert done.code == Exit.OK, done.err
    assert "intact" in done.out
    assert "damaged" not in done.out
    (told,) = up.run("workspace", "verify", "--all", "--repair-none", "--json").json()
    assert (told["state"], told["marks"], set(told["snapshots"])) == ("done", False, {"intact"})
    assert told["packs"].keys() <= {"intact"}


def test_verify__of_a_session_that_has_none(up: Up) -> None:
    done = up.run("workspace", "verify", "--session", str(uuid.uuid4()))
    assert (done.code, "snapshots: none" in done.out) == (Exit.OK, True)


@pytest.mark.parametrize(
    "options", [(), ("--all", "--project", str(uuid.uuid4())), ("--session", "x")]
)
def test_verify__of_what_is_not_said(up: Up, options: tuple[str, ...]) -> None:
    assert up.run("workspace", "verify", *options).code == Exit.USAGE
