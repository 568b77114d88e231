"""`berth snapshots`, `berth diff` and `berth sessions` against a real stack and a real agent."""

import json
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from cli.exits import Exit
from tests.fixtures.commands import Done, Up, berth_environment


def script(*steps: dict[str, Any]) -> str:
    return f"<<SCRIPT{json.dumps(steps)}SCRIPT>>"


REDDER = "printf 'red\\tdark\\r\\nblue\\f\\n' > color.txt"


def turn(up: Up, text: str, *options: str) -> str:
    """Its session."""
    done = up.run("run", "--agent", "scripted", "--json", text, *options)
    assert done.code == Exit.OK, done.err
    return done.json()[0]["session_id"]


def goes_on(up: Up, session: str, text: str) -> Done:
    done = up.run("run", "--session", session, text)
    assert done.code == Exit.OK, done.err
    return done


def snapshots(up: Up, session: str) -> list[dict[str, Any]]:
    done = up.run("snapshots", "ls", session, "--json")
    assert done.code == Exit.OK, done.err
    return [one for one in done.json() if one["type"] == "acknowledged"]


def write(path: str, content: str) -> dict[str, Any]:
    return {"write": {"path": path, "content": content}}


@pytest.fixture(scope="module")
def session(up: Up) -> str:
    """First `blue`, then `red`: in the agent's own memory, and in a file."""
    made = turn(
        up, script(write("color.txt", "blue\n"), {"remember": {"key": "color", "value": "blue"}})
    )
    second = script(write("color.txt", "red\n"), {"remember": {"key": "color", "value": "red"}})
    goes_on(up, made, second)
    return made


def test_snapshots__one_for_each_run(up: Up, session: str) -> None:
    found = snapshots(up, session)
    assert len({one["run_id"] for one in found}) >= 2
    assert found[0]["head"]
    shown = up.run("snapshots", "ls", session)
    assert found[0]["id"] in shown.out


def test_diff__of_the_last_run_is_a_patch(up: Up, session: str, tmp_path: Path) -> None:
    newest, *_, oldest = snapshots(up, session)
    patch = up.run("diff", session, oldest["id"], newest["id"])
    assert patch.code == Exit.OK, patch.err
    assert "-blue\n+red" in patch.out
    names = up.run("diff", session, "nothing", newest["id"], "--names")
    assert "A\tcolor.txt" in names.lines()
    (tmp_path / "color.txt").write_text("blue\n")
    of_file = [part for part in patch.out.split("diff --git ") if part.startswith("a/color.txt")]
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    applied = subprocess.run(
        ["git", "apply", "-"],
        cwd=tmp_path,
        input=f"diff --git {of_file[0]}",
        text=True,
        capture_output=True,
        check=False,
    )
    assert applied.returncode == 0, applied.stderr
    assert (tmp_path / "color.txt").read_text() == "red\n"


def test_diff__is_a_patch_where_the_agent_commits(up: Up, tmp_path: Path) -> None:
    """Git takes no patch that touches a `.git`, and what agents remember is in no other tree. Tabs
    and ends of lines are what they were.
    """
    commit = "git add color.txt; git -c user.name=a -c user.email=a@example.test commit -qm next"
    made = turn(up, script({"shell": f"git init -q; echo blue > color.txt; {commit}"}))
    goes_on(up, made, script({"shell": f"{REDDER}; echo new > new; {commit}"}))
    (tmp_path / "color.txt").write_text("blue\n")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    words = [sys.executable, "-m", "cli", "diff", made]
    patch = subprocess.run(
        words, env=berth_environment(up.home), capture_output=True, check=True, timeout=90
    )
    words = ["git", "apply", "-"]
    applied = subprocess.run(
        words, cwd=tmp_path, input=patch.stdout, capture_output=True, check=False
    )
    assert applied.returncode == 0, applied.stderr
    assert {one.name for one in tmp_path.iterdir()} == {".git", "color.txt", "new"}
    assert (tmp_path / "color.txt").read_bytes() == b"red\tdark\r\nblue\f\n"
    assert b"left out" in patch.stderr
    names = [line.partition("\t")[2] for line in up.run("diff", made, "--names").lines()]
    assert {"color.txt", "new", ".git/index"} <= {*names}
    assert any(name.startswith(".berth/") for name in names)


def test_fork__the_agent_remembers_what_it_knew_then(up: Up, session: str) -> None:
    oldest = snapshots(up, session)[-1]
    done = up.run("sessions", "fork", session, "--snapshot", oldest["id"], "--json")
    assert done.code == Exit.OK, done.err
    fork = done.json()[0]
    assert fork["forked_from"]["session_id"] == session
    told = goes_on(up, fork["id"], script({"recall": "color"}, {"shell": "cat color.txt"}))
    assert "color is blue" in told.out
    assert "resumed: native" in told.out + told.err
    assert "color is red" in goes_on(up, session, "recall color").out


def test_export_and_import__the_agent_remembers_there_too(
    up: Up, session: str, tmp_path: Path
) -> None:
    archive = tmp_path / "x.tar"
    done = up.run("sessions", "export", session, "-o", str(archive))
    assert done.code == Exit.OK, done.err
    with tarfile.open(archive) as tar:
        assert tar.getnames()[0] == "berth.json"
        assert tar.getnames()[-1] == "end.json"
    again = up.run("sessions", "export", session, "-o", str(archive))
    assert again.code == Exit.OK, "it takes the place of the former one"
    made = up.run("sessions", "import", str(archive))
    assert made.code == Exit.OK, made.err
    told = goes_on(up, made.lines()[0], "recall color")
    assert "color is red" in told.out
    archive.write_bytes(archive.read_bytes()[:-3000])
    refused = up.run("sessions", "import", str(archive))
    assert (refused.code, "cut off" in refused.err) == (Exit.USAGE, True)
    missing = up.run("sessions", "import", str(tmp_path / "none.tar"))
    assert missing.code == Exit.USAGE


def test_rollback__and_back_again(up: Up) -> None:
    made = turn(up, "remember color=blue")
    goes_on(up, made, "remember color=red")
    newest, *_, oldest = snapshots(up, made)
    done = up.run("sessions", "rollback", made, oldest["id"])
    assert done.code == Exit.OK, done.err
    assert "color is blue" in goes_on(up, made, "recall color").out
    assert up.run("sessions", "rollback", made, newest["id"]).code == Exit.OK
    assert "color is red" in goes_on(up, made, "recall color").out
    unknown = up.run("sessions", "rollback", made, made)
    assert (unknown.code, "snapshot" in unknown.err) == (Exit.NOT_FOUND, True)
