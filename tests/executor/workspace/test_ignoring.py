"""`.berthignore`: what git would ignore by the same lines, and nothing else."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.files.ignoring import RULES, parsed
from executor.workspace.scan import walk
from tests.executor.kept import Kept
from tests.executor.snapshots import Disk, disk_at, items_of

PATHS = [
    "a.o", "keep.o", "src/a.o", "src/keep.o", "src/deep/a.o", "build/x", "src/build/x",
    "build.txt", "doc/a.txt", "doc/sub/a.txt", "doc/sub/deep/a.txt", "foo", "foo bar", "trail ",
    "#hash", "!bang", "star*", "a[b]", "[ab]", "b1", "b2", "bx", "x/y/z", "x/z", "y/x/z", ".env",
    ".git/config", "UPPER.O", "back\\slash", "a/b/c/d", "a/d", "new\nline.o", "é.txt",
    "logs/1.log", "logs/keep.log",
]  # fmt: skip


def git_keeps(root: Path, rules: dict[str, bytes]) -> set[str]:
    """The files that git sees by the same lines."""
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    for at, lines in rules.items():
        (root / at / ".gitignore").write_bytes(lines)
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "-z", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
    )
    return set(map(os.fsdecode, listed.stdout.split(b"\0"))) - {""}


@pytest.mark.parametrize(
    "rules",
    [
        {"": b"*.o\n!keep.o\n"},
        {"": b"build/\n"},
        {"": b"/build\n"},
        {"": b"/*.o\n"},
        {"": b"doc/*.txt\n"},
        {"": b"doc/**/*.txt\n"},
        {"": b"**/build\n"},
        {"": b"a/**/d\n"},
        {"": b"a/**\n"},
        {"": b"doc/**\n!doc/sub/\n"},
        {"": b"x/z\n"},
        {"": b"foo \n"},
        {"": b"trail\\ \n"},
        {"": b"\\#hash\n\\!bang\n"},
        {"": b"# a comment\n\n   \n*.txt\r\n"},
        {"": b"star\\*\na[[]b]\n"},
        {"": b"b[0-9]\n"},
        {"": b"b[!0-9]\n"},
        {"": b"b[^1]\n"},
        {"": b"[[:alpha:]][[:digit:]]\n"},
        {"": b"b?\n"},
        {"": b"b[z-a]\n"},
        {"": b"back\\\\slash\n"},
        {"": b"\xc3\xa9.txt\n"},
        {"": b"*\n!*/\n!*.txt\n"},
        {"": b"/*\n!/src\n"},
        {"": b"logs/*\n!logs/keep.log\n"},
        {"": b"logs/\n!logs/keep.log\n"},
        {"": b"*.o\n", "src/": b"!keep.o\n"},
        {"src/": b"*.o\n/build\n", "doc/sub/": b"*\n"},
        {"": b"src/keep.o\n", "src/": b"!/keep.o\n"},
        {"": b"**\n"},
        {"": b"**foo\n"},
    ],
)
def test_rules__mean_what_they_mean_to_git(rules: dict[str, bytes], place: Path) -> None:
    ours, theirs = place / "ours", place / "theirs"
    for root in (ours, theirs):
        for path in PATHS:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            if not path.startswith(".git/"):
                (root / path).write_text(path)
    for at, lines in rules.items():
        (ours / at / os.fsdecode(RULES)).write_bytes(lines)
    seen = {
        os.fsdecode(found.path)
        for found in walk(ours, max_items=1000, skipped=[], ignored=lambda _: None)
        if not (ours / os.fsdecode(found.path)).is_dir()
    }
    expected = git_keeps(theirs, rules)
    assert {path for path in seen if not path.endswith(".berthignore")} == {
        path for path in expected if not path.endswith(".gitignore")
    }


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b"*a" * 60 + b"b", b"a" * 255),
        (b"**/a/" * 40 + b"b", b"a/" * 2000 + b"a"),
        (b"x/" + b"*?" * 60 + b"/b", b"x/" + b"a" * 255),
        (b"**/*a" * 20 + b"/b", b"a/" * 1000 + b"a"),
    ],
)
def test_many_stars__are_no_reason_to_wait(line: bytes, path: bytes) -> None:
    """In a process of its own: such a match can be ended by nobody else."""
    program = (
        "import sys; from chassis.files.ignoring import Rules, parsed;"
        "line, path = map(bytes.fromhex, sys.argv[1:]);"
        "print(Rules(parsed(line), b'', None).ignores(path, directory=False))"
    )
    asked = [sys.executable, "-c", program, line.hex(), path.hex()]
    ran = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30)
    assert ran.stdout == "False\n"


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.sampled_from(["*", "?", "a", "b", "/", "**/", "/**/"]), min_size=1, max_size=9),
    st.lists(st.sampled_from(["a", "b", "/"]), min_size=1, max_size=9),
)
def test_stars__mean_what_they_would_with_every_way_tried(line: list[str], name: list[str]) -> None:
    text, path = "".join(line), "/".join(filter(None, "".join(name).split("/"))) or "a"
    rules = parsed(text.encode())
    found = bool(rules) and rules[0].fits.fullmatch(path.encode()) is not None
    assert found == (bool(rules) and every_way(text, path))


def every_way(line: str, path: str) -> bool:
    """By the plain expression, whatever that costs."""
    line = line.rstrip("/") if line.endswith("/") else line
    anchored = "/" in line
    line = line.removeprefix("/")
    ways = {"one": "[^/]", "stars": "[^/]*", "through": "(?:.*/)?", "beneath": ".+"}
    kinds = r"(?P<through>(?:(?<=/)|^)\*\*/)|(?P<beneath>(?<=/)\*\*$)|(?P<stars>\*+)|(?P<one>\?)"
    plain = re.sub(kinds, lambda found: ways[found.lastgroup or ""], line)
    return re.fullmatch(plain if anchored else "(?:.*/)?" + plain, path) is not None


@pytest.fixture
def disk(place: Path) -> Disk:
    return disk_at(place)


async def test_save__leaves_out_what_is_ignored_and_says_nothing_of_it(disk: Disk) -> None:
    (disk.root / ".berthignore").write_text("node_modules/\n*.pyc\n.berth\n.git\n")
    for path in ("node_modules/a/b", "src/x.py", "src/x.pyc", ".berth/session.json", ".env"):
        (disk.root / path).parent.mkdir(parents=True, exist_ok=True)
        (disk.root / path).write_text(path)
    saved = await disk.save(Kept())
    assert list(items_of(saved)) == [
        *(".berth", ".berth/session.json", ".berthignore", ".env", "src", "src/x.py"),
    ]
    assert saved.skipped == []


async def test_restore__over_a_tree_leaves_what_is_ignored_there(disk: Disk) -> None:
    store = Kept()
    (disk.root / ".berthignore").write_text("*.o\n/build/\n")
    (disk.root / "src").mkdir()
    (disk.root / "src" / "a.c").write_text("first")
    saved = await disk.save(store)
    await disk.restore(store, store.point(saved))
    for path in ("src/a.o", "build/out", "gone/b.o", "gone/b.c"):
        (disk.root / path).parent.mkdir(exist_ok=True)
        (disk.root / path).write_text(path)
    await disk.restore(store, store.point(saved), reuse=True)
    assert (disk.root / "src" / "a.o").read_text() == "src/a.o"
    assert (disk.root / "build" / "out").read_text() == "build/out"
    assert not (disk.root / "gone").exists()
    again = await disk.save(store)
    assert (again.draft.added, again.draft.changed, again.draft.removed) == (0, 0, 0)


async def test_save__without_rules_leaves_out_nothing(disk: Disk) -> None:
    for path in (".git/HEAD", "node_modules/a", ".gitignore", "x.pyc"):
        (disk.root / path).parent.mkdir(parents=True, exist_ok=True)
        (disk.root / path).write_text("*\n")
    saved = await disk.save(Kept())
    assert set(items_of(saved)) == {
        *(".git", ".git/HEAD", ".gitignore", "node_modules", "node_modules/a", "x.pyc"),
    }


async def test_save__rules_that_are_a_link_or_no_file_say_nothing(disk: Disk) -> None:
    (disk.root / "rules").write_text("*\n")
    (disk.root / ".berthignore").symlink_to("rules")
    (disk.root / "pipe").mkdir()
    os.mkfifo(disk.root / "pipe" / ".berthignore")
    (disk.root / "pipe" / "file").write_text("")
    saved = await disk.save(Kept())
    assert set(items_of(saved)) == {".berthignore", "pipe", "pipe/file", "rules"}
