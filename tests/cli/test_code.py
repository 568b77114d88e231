"""Code in and out, with the real stack and the real git: what a person does at a terminal."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli.exits import Exit
from tests.fixtures.commands import Up


def script(*steps: dict[str, Any]) -> str:
    return f"<<SCRIPT{json.dumps(steps)}SCRIPT>>"


CHANGES = script(
    {"shell": "printf 'print(2)\\n' > src/a.py; chmod +x run.sh; rm gone; printf '\\000b' > bin"},
    {"shell": "mkdir -p new/er; echo new > new/er/file; ln -s src link"},
    {"text": "Done.\n"},
)


def git(directory: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    done = subprocess.run(
        ["git", "-C", str(directory), *who, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a commit, and something that is not committed."""
    place = tmp_path / "project"
    (place / "src").mkdir(parents=True)
    (place / "src/a.py").write_text("print(1)\n")
    (place / "run.sh").write_text("#!/bin/sh\n")
    (place / "gone").write_text("gone\n")
    (place / ".berthignore").write_text("*.log\n")
    git(place, "init", "-q", "-b", "main")
    git(place, "add", ".")
    git(place, "commit", "-qm", "first")
    (place / "uncommitted").write_text("still mine\n")
    (place / "noise.log").write_text("noise\n")
    return place


def begun(up: Up, project: Path, text: str) -> str:
    done = up.run("run", "--agent", "scripted", "--json", "--dir", str(project), text)
    assert done.code == Exit.OK, done.err
    assert "are the workspace" in done.err
    session: str = done.json()[0]["session_id"]
    return session


def test_dir__an_agent_works_on_a_copy_and_the_patch_comes_back(
    up: Up, project: Path, tmp_path: Path
) -> None:
    session = begun(up, project, CHANGES)
    shown = up.run("exec", session, "--", "sh", "-c", "git status --porcelain -uall; ls -A")
    assert "?? uncommitted" in shown.out
    assert "noise.log" not in shown.out
    patch = tmp_path / "changes.patch"
    pulled = up.run("pull", session, "-o", str(patch))
    assert pulled.code == Exit.OK, pulled.err
    assert "6 files changed" in pulled.err
    git(project, "apply", "--check", str(patch))
    git(project, "apply", str(patch))
    assert (project / "src/a.py").read_text() == "print(2)\n"
    assert os.access(project / "run.sh", os.X_OK)
    assert not (project / "gone").exists()
    assert (project / "bin").read_bytes() == b"\0b"
    assert (project / "new/er/file").read_text() == "new\n"
    assert (project / "link").readlink() == Path("src")
    assert (project / "uncommitted").read_text() == "still mine\n"


def test_pull__tree_never_over_what_is_nowhere_else(up: Up, project: Path, tmp_path: Path) -> None:
    session = begun(up, project, CHANGES)
    fresh = tmp_path / "fresh"
    done = up.run("pull", session, "--tree", str(fresh))
    assert done.code == Exit.OK, done.err
    assert (fresh / "src/a.py").read_text() == "print(2)\n"
    assert not (fresh / ".git").exists()
    (project / "src/a.py").write_text("print('mine')\n")
    refused = up.run("pull", session, "--tree", str(project))
    assert refused.code == Exit.REFUSED
    assert "src/a.py" in refused.err
    assert "--force" in refused.err
    assert (project / "src/a.py").read_text() == "print('mine')\n"
    git(project, "commit", "-qam", "mine")
    done = up.run("pull", session, "--tree", str(project))
    assert done.code == Exit.OK, done.err
    assert (project / "src/a.py").read_text() == "print(2)\n"
    assert (project / "gone").exists(), "what is only here stays"


def test_import_tree__needs_nobody_at_work(up: Up, project: Path, tmp_path: Path) -> None:
    session = begun(up, project, script({"text": "Hello.\n"}))
    other = tmp_path / "other"
    other.mkdir()
    (other / "other.txt").write_text("other\n")
    refused = up.run("sessions", "import-tree", session, str(other))
    assert refused.code == Exit.REFUSED, refused.out
    assert f"berth workers stop {session}" in refused.err
    stopped = up.run("workers", "stop", session)
    assert stopped.code == Exit.OK, stopped.err


def test_git__refused_by_policy_says_what_to_do(up: Up) -> None:
    done = up.run("run", "--agent", "scripted", "--git", "https://git.example.org/a/b", "go")
    assert done.code == Exit.RUN_FAILED
    assert "checkout_refused" in done.out
    assert "berth egress set custom --repository" in done.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--git", "https://u:hunter2@git.example.org/a"], "without a name, a password"),
        (["--git", "https://git.example.org/a", "--ref=--upload-pack=x"], "--ref is a branch"),
        (["--ref", "main"], "--ref goes with --git"),
        (["--git", "https://git.example.org/a", "--dir", "."], "not with both"),
        (["--dir", "/nonexistent"], "There is no directory"),
    ],
)
def test_usage__says_what_would_be_right(up: Up, arguments: list[str], words: str) -> None:
    done = up.run("run", *arguments, "go")
    assert done.code == Exit.USAGE
    assert words in done.err
    assert "hunter2" not in done.err
