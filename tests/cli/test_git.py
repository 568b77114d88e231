"""`berth git` against a real stack; the token comes from a file, a pipe, a variable."""

from pathlib import Path
from typing import Any

import pytest

from cli.exits import Exit
from tests.fixtures.commands import Up

HOST = "git.example.org"
TOKEN = "ghp_of-a-test-77aa"


def listed(up: Up) -> dict[str, Any]:
    return {one["host"]: one for one in up.run("git", "ls", "--json").json()}


@pytest.fixture(autouse=True)
def nothing_left(up: Up) -> Any:
    yield
    for host in listed(up):
        assert up.run("git", "rm", host).code == Exit.OK


def test_set__from_standard_input(up: Up) -> None:
    done = up.run("git", "set", HOST, "--username", "berth", said=f"{TOKEN}\n")
    assert done.code == Exit.OK, done.err
    assert done.out.startswith(f"Kept for {HOST}.")
    assert listed(up)[HOST]["username"] == "berth"
    again = up.run("git", "set", HOST, "--token-file", "-", "--json", said=TOKEN)
    assert again.json()[0]["username"] == "git"
    shown = up.run("git", "ls")
    assert HOST in shown.out
    assert TOKEN not in done.out + again.out + shown.out


def test_set__from_a_file_or_a_variable(up: Up, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    assert up.run("git", "set", HOST, "--token-file", str(file)).code == Exit.OK
    assert up.run("git", "set", "other.example.org", BERTH_GIT_TOKEN=TOKEN).code == Exit.OK
    assert set(listed(up)) == {HOST, "other.example.org"}


def test_set__that_is_wrong(up: Up, tmp_path: Path) -> None:
    for host in ("localhost", "*.example.org", "10.0.0.1", "Git.example.org"):
        done = up.run("git", "set", host, said=TOKEN)
        assert (done.code, "host" in done.err) == (Exit.USAGE, True), done.err
        assert TOKEN not in done.err
    missing = up.run("git", "set", HOST, "--token-file", str(tmp_path / "none"))
    assert (missing.code, "No such file" in missing.err) == (Exit.USAGE, True)
    empty = up.run("git", "set", HOST, said="\n")
    assert (empty.code, "it is empty" in empty.err) == (Exit.USAGE, True)
    assert listed(up) == {}


def test_rm__what_is_not_there(up: Up) -> None:
    assert up.run("git", "rm", "nothing.example.org").code == Exit.NOT_FOUND


def test_token__is_in_no_log_of_the_stack(up: Up) -> None:
    assert up.run("git", "set", HOST, said=TOKEN).code == Exit.OK
    logs = [path.read_text(errors="replace") for path in (up.home / "logs").iterdir()]
    assert logs
    for text in (*logs, up.said):
        assert TOKEN not in text
