"""`berth limits` against a real stack: shown to members, set by administrators, felt by runs."""

import uuid
from typing import Any

import pytest

from cli.exits import Exit
from tests.fixtures.commands import Up


def project(up: Up) -> str:
    (shown,) = up.run("limits", "show", "--json").json()
    return shown["project_id"]


def set_(up: Up, *options: str) -> Any:
    done = up.run("limits", "set", *options)
    assert done.code == Exit.OK, done.err
    return done.out


def test_show__nothing_is_limited_at_first(up: Up) -> None:
    done = up.run("limits", "show")
    assert done.code == Exit.OK, done.err
    assert done.out.count("no limit") == 6
    assert up.run("limits", "show", "--project", str(uuid.uuid4())).code == Exit.NOT_FOUND


def test_set__of_a_project_is_felt_and_taken_back(up: Up) -> None:
    mine = project(up)
    try:
        told = set_(up, "--project", mine, "--runs-per-hour", "1", "--max-workers", "3")
        assert "runs in an hour           at most 1, 0 now" in told
        assert up.run("run", "--agent", "scripted", "one").code == Exit.OK
        refused = up.run("run", "--agent", "scripted", "two")
        assert (refused.code, "code limit_reached" in refused.err) == (Exit.REFUSED, True)
        assert "this project's limit is 1 runs in an hour" in refused.err
    finally:
        set_(up, "--project", mine, "--unset", "runs-per-hour", "--unset", "max-workers")
    assert up.run("run", "--agent", "scripted", "three").code == Exit.OK


def test_set__defaults(up: Up) -> None:
    try:
        told = set_(up, "--default", "users", "--max-workers", "7")
        assert told.startswith("users without their own\n  workers at the same time  at most 7")
        (shown,) = up.run("limits", "show", "--json").json()
        assert shown["you"]["limits"]["max_workers"] == 7
        assert shown["project"]["limits"]["max_workers"] is None
    finally:
        set_(up, "--default", "users", "--unset", "max-workers")


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--max-workers", "1"),
        ("--default", "users"),
        ("--default", "users", "--user", str(uuid.uuid4()), "--max-workers", "1"),
        ("--default", "users", "--max-workers", "0"),
    ],
)
def test_set__that_is_wrong(up: Up, options: tuple[str, ...]) -> None:
    assert up.run("limits", "set", *options).code == Exit.USAGE


def test_set__of_nobody(up: Up) -> None:
    done = up.run("limits", "set", "--user", str(uuid.uuid4()), "--max-workers", "1")
    assert done.code == Exit.NOT_FOUND
