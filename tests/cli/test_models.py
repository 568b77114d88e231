"""`berth models` against a real stack; the provider's key comes from a file, a pipe, a variable."""

from pathlib import Path
from typing import Any

import pytest

from cli.exits import Exit
from tests.fixtures.commands import Done, Up

KEY = "sk-ant-of-a-test"
ANTHROPIC = ("--upstream", "https://api.anthropic.com", "--format", "messages")


def set_(up: Up, *more: str, said: str = "", **environment: str) -> Done:
    return up.run(
        "models", "set", "main", *ANTHROPIC, "--model", "a", *more, said=said, **environment
    )


def listed(up: Up) -> dict[str, Any]:
    return {one["name"]: one for one in up.run("models", "ls", "--json").json()}


@pytest.fixture(autouse=True)
def nothing_left(up: Up) -> Any:
    yield
    for name in listed(up):
        assert up.run("models", "rm", name).code == Exit.OK


def test_set__from_standard_input(up: Up) -> None:
    done = set_(up, "--model", "b", "--key-file", "-", said=f"{KEY}\n")
    assert done.code == Exit.OK, done.err
    assert done.out == "main leads to https://api.anthropic.com: a, b\n"
    shown = listed(up)["main"]
    assert (shown["auth"], shown["has_key"], shown["models"]) == ("x-api-key", True, ["a", "b"])
    again = set_(up, "--format", "chat", "--json")
    assert again.json()[0]["auth"] == "bearer"
    assert "main" in up.run("models", "ls").out


def test_set__from_a_file_or_a_variable(up: Up, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(KEY)
    assert set_(up, "--key-file", str(file)).code == Exit.OK
    assert up.run("models", "rm", "main").code == Exit.OK
    assert set_(up, BERTH_MODEL_KEY=KEY).code == Exit.OK
    assert up.run("models", "rm", "main").code == Exit.OK
    assert set_(up, BERTH_MODEL_KEY_FILE=str(file)).code == Exit.OK


def test_set__that_is_wrong(up: Up, tmp_path: Path) -> None:
    without = set_(up)
    assert without.code == Exit.USAGE
    assert "key: expected the provider's key" in without.err
    other = up.run(
        *("models", "set", "x", "--upstream", "https://api.example.com"),
        *("--format", "chat", "--model", "a"),
        BERTH_MODEL_KEY=KEY,
    )
    assert other.code == Exit.USAGE
    assert "BERTH_MODEL_HOSTS" in other.err
    missing = set_(up, "--key-file", str(tmp_path / "none"))
    assert (missing.code, "No such file" in missing.err) == (Exit.USAGE, True)
    empty = set_(up, "--key-file", "-", said="\n")
    assert (empty.code, "it is empty" in empty.err) == (Exit.USAGE, True)
    assert listed(up) == {}


def test_rm__what_is_not_there(up: Up) -> None:
    assert up.run("models", "rm", "nothing").code == Exit.NOT_FOUND


def test_key__is_in_no_log_of_the_stack(up: Up) -> None:
    assert set_(up, "--key-file", "-", said=KEY).code == Exit.OK
    logs = [path.read_text(errors="replace") for path in (up.home / "logs").iterdir()]
    assert logs
    for text in (*logs, up.said):
        assert KEY not in text
