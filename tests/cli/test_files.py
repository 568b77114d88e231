"""`berth files` against a real stack: a session's workspace from a terminal, live and saved."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.exits import Exit
from tests.fixtures.commands import Done, Up

STEPS = [
    {"shell": "mkdir -p src; printf 'one\\ntwo needle\\n' > src/a.py; printf s > .env"},
    {"shell": "ln -s src link; printf 'x\\033[31mred' > steering"},
    {"text": "Done.\n"},
]


@pytest.fixture
def session(up: Up) -> str:
    done = up.run("run", "--agent", "scripted", "--json", f"<<SCRIPT{json.dumps(STEPS)}SCRIPT>>")
    assert done.code == Exit.OK, done.err
    found: str = done.json()[0]["session_id"]
    return found


Files = Callable[..., Done]


@pytest.fixture
def files(up: Up, session: str) -> Files:
    def files(command: str, *arguments: str, code: int = Exit.OK) -> Done:
        done = up.run("files", command, session, *arguments)
        assert done.code == code, (command, arguments, done.out, done.err)
        return done

    return files


def test_files__are_looked_at_live_and_saved(up: Up, session: str, files: Files) -> None:
    listed = {line.split("\t")[2] for line in files("ls").lines()}
    assert {".env", "link@", "src/", "steering"} <= listed
    assert files("cat", "steering").out == "x\x1b[31mred", "a pipe gets every byte"
    found = files("search", "src", "--text", "NEEDLE", "-i").out
    assert found == "src/a.py:2: two needle\n"
    assert files("search", "--name", "*.py").out == "src/a.py\n"
    files("cat", "../etc/passwd", code=Exit.USAGE)
    assert up.run("workers", "stop", session).code == Exit.OK
    assert files("cat", "src/a.py").out == "one\ntwo needle\n"
    refused = files("mkdir", "x", code=Exit.REFUSED)
    assert "send a message" in refused.err


def test_files__there_and_back(files: Files, tmp_path: Path) -> None:
    source, back, tree = tmp_path / "nicht \udcff utf-8", tmp_path / "back", tmp_path / "tree"
    source.write_bytes(os.urandom(300_000))
    assert files("put", str(source)).out.startswith("Made nicht \\udcff utf-8: 300000 bytes")
    files("put", str(source), "--new", code=Exit.REFUSED)
    (entry,) = (one for one in files("ls", "--json").json() if one["escaped"])
    assert entry["path"] == "nicht%20%FF%20utf-8"
    assert f"{back}: 300000 bytes" in files("get", source.name, str(back)).out
    assert back.read_bytes() == source.read_bytes()
    files("put", str(back), "src/a.py", "--etag", '"0"', code=Exit.REFUSED)
    files("get", "none", str(back), code=Exit.NOT_FOUND)
    assert back.stat().st_size == 300_000, "what was there stays"
    (tree / "in").mkdir(parents=True)
    (tree / "in/f").write_text("f")
    (tree / "link").symlink_to("in")
    assert "Wrote 1 files to tree." in files("put", str(tree)).out
    files("get", "tree", str(tmp_path / "tree.zip"))
    with zipfile.ZipFile(tmp_path / "tree.zip") as archive:
        assert {"in/", "in/f", "link"} == set(archive.namelist())


def test_files__are_moved_and_removed(files: Files) -> None:
    files("mkdir", "new/one", code=Exit.NOT_FOUND)
    files("mkdir", "-p", "new/one")
    assert files("mv", "src/a.py", "new/one/f").out == "Moved to new/one/f.\n"
    files("mv", "steering", "new/one/f", code=Exit.REFUSED)
    files("mv", "steering", "new/one/f", "--overwrite")
    files("rm", "new", code=Exit.REFUSED)
    assert files("rm", "-r", "new").out == "Deleted new.\n"
    files("cat", "new/one/f", code=Exit.NOT_FOUND)
