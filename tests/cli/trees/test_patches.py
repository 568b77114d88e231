"""Patches, judged by the real git: applied to what was, they make what is."""

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cli.trees import patches
from cli.trees.patches import Patching, quoted
from tests.cli.trees.trees import Tree, received

TEXT = b"".join(b"line %d\n" % number for number in range(60))


def patch_of(before: Tree, after: Tree) -> bytes:
    return b"".join(Patching(received(before), received(after)).pieces())


def laid(top: Path, tree: Tree) -> None:
    for path, (mode, content) in tree.items():
        place = os.path.join(os.fsencode(top), path)  # noqa: PTH118  # bytes
        if mode == "40000":
            os.makedirs(place, exist_ok=True)  # noqa: PTH103  # bytes
            continue
        os.makedirs(os.path.dirname(place), exist_ok=True)  # noqa: PTH103, PTH120  # bytes
        if mode == "120000":
            os.symlink(content, place)  # noqa: PTH211  # bytes
            continue
        with open(place, "wb") as file:  # noqa: PTH123  # bytes
            file.write(content)
        os.chmod(place, int(mode[-3:], 8))  # noqa: PTH101  # bytes


def found(top: Path) -> dict[bytes, tuple[str, bytes]]:
    tree: dict[bytes, tuple[str, bytes]] = {}
    base = os.fsencode(top)
    for above, directories, names in os.walk(base):
        directories[:] = [one for one in directories if one != b".git"]
        links = [one for one in directories if os.path.islink(os.path.join(above, one))]  # noqa: PTH114, PTH118  # bytes
        for name in [*names, *links]:
            place = os.path.join(above, name)  # noqa: PTH118  # bytes
            path = os.path.relpath(place, base)
            if os.path.islink(place):  # noqa: PTH114  # bytes
                tree[path] = ("120000", os.readlink(place))  # noqa: PTH115  # bytes
                continue
            mode = "100755" if os.stat(place).st_mode & 0o100 else "100644"  # noqa: PTH116  # bytes
            with open(place, "rb") as file:  # noqa: PTH123  # bytes
                tree[path] = (mode, file.read())
    return tree


def applied(top: Path, before: Tree, patch: bytes) -> dict[bytes, tuple[str, bytes]]:
    laid(top, before)
    environment = {"PATH": os.defpath, "HOME": str(top), "GIT_CONFIG_NOSYSTEM": "1"}
    for arguments in (["init", "-q"], ["apply", "--whitespace=nowarn", "-"]):
        done = subprocess.run(
            ["git", "-C", str(top), *arguments],
            input=patch, env=environment, capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (done.stderr, patch[:3000])
    return found(top)


BOTH: dict[str, tuple[Tree, Tree]] = {
    "added": ({b"a": ("100644", b"x\n")}, {b"a": ("100644", b"x\n"), b"d/b": ("100755", TEXT)}),
    "removed": ({b"a": ("100644", TEXT), b"k": ("100644", b"k")}, {b"k": ("100644", b"k")}),
    "changed": (
        {b"a": ("100644", TEXT)},
        {b"a": ("100644", TEXT.replace(b"line 5\n", b"five\n").replace(b"line 50\n", b""))},
    ),
    "mode": ({b"a": ("100644", b"x")}, {b"a": ("100755", b"x")}),
    "mode and text": ({b"a": ("100644", b"x\n")}, {b"a": ("100755", b"y\n")}),
    "no newline": ({b"a": ("100644", b"x\ny")}, {b"a": ("100644", b"x\ny\n")}),
    "newline gone": ({b"a": ("100644", b"x\ny\n")}, {b"a": ("100644", b"x\nz")}),
    "carriage returns": ({b"a": ("100644", b"x\r\ny\r\n")}, {b"a": ("100644", b"x\r\nz\r")}),
    "emptied": ({b"a": ("100644", b"x")}, {b"a": ("100644", b"")}),
    "empty comes": ({b"k": ("100644", b"k")}, {b"k": ("100644", b"k"), b"e": ("100644", b"")}),
    "empty goes": ({b"k": ("100644", b"k"), b"e": ("100644", b"")}, {b"k": ("100644", b"k")}),
    "binary": ({b"a": ("100644", bytes(range(256)))}, {b"a": ("100644", bytes(300) + b"\1")}),
    "binary comes": ({b"k": ("100644", b"")}, {b"k": ("100644", b""), b"b": ("100755", b"\0")}),
    "binary goes": ({b"k": ("100644", b""), b"b": ("100644", b"\0")}, {b"k": ("100644", b"")}),
    "no utf-8": ({b"a": ("100644", b"\xff\n")}, {b"a": ("100644", b"\xfe\n")}),
    "link": ({b"l": ("120000", b"there")}, {b"l": ("120000", b"../else")}),
    "link comes": ({b"k": ("100644", b"k")}, {b"k": ("100644", b"k"), b"l": ("120000", b"t")}),
    "file to link": ({b"l": ("100644", b"x\n")}, {b"l": ("120000", b"x")}),
    "link to file": ({b"l": ("120000", b"x")}, {b"l": ("100755", b"x\n")}),
    "file to directory": ({b"d": ("100644", b"x\n")}, {b"d/a": ("100644", b"y\n")}),
    "directory to file": ({b"d/a": ("100644", b"y\n")}, {b"d": ("100644", b"x\n")}),
    "names": (
        {b"a b": ("100644", b"x\n"), b't\tn\nq"\\': ("100644", b"x\n")},
        {
            b"a b": ("100644", b"y\n"),
            b't\tn\nq"\\': ("100644", b"y\n"),
            b"\xff\xc3\xa9": ("100644", b"z\n"),
            b" lead": ("100644", b"z\n"),
            b"-x": ("100644", b"z\n"),
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BOTH)
def test_git_applies_it(tmp_path: Path, name: str) -> None:
    before, after = BOTH[name]
    assert applied(tmp_path, before, patch_of(before, after)) == after


def test_large_changes__without_comparing_every_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "MOST_COMPARED", 10)
    before: Tree = {b"a": ("100644", TEXT)}
    after: Tree = {b"a": ("100644", b"first\n" + TEXT.replace(b"line 3", b"three") + b"last")}
    assert applied(tmp_path, before, patch_of(before, after)) == after


def test_repositories__are_left_alone() -> None:
    tree: Tree = {b".git/config": ("100644", b"x"), b"sub/.git/HEAD": ("100644", b"x")}
    assert patch_of({}, tree) == b""


def test_too_large__is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patches, "MOST_BYTES", 3)
    patching = Patching(received({}), received({b"big": ("100644", b"1234")}))
    assert not list(patching.pieces())
    assert patching.left_out == [(b"big", "larger than 3 bytes")]


def test_quoted__as_git_does() -> None:
    assert quoted(b"a/plain name") == b"a/plain name"
    assert quoted(b'a/\xff"\n') == b'"a/\\377\\"\\012"'


LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"\n", b"c\r\n", b"\xff\n"]), max_size=14)
CONTENTS = st.tuples(LINES, st.sampled_from([b"", b"z", b"\0"])).map(
    lambda one: b"".join(one[0]) + one[1]
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(CONTENTS, CONTENTS)
def test_any_contents(tmp_path_factory: pytest.TempPathFactory, old: bytes, new: bytes) -> None:
    before: Tree = {b"f": ("100644", old), b"k": ("100644", b"k")}
    after: Tree = {b"f": ("100644", new), b"k": ("100644", b"k")}
    patch = patch_of(before, after)
    if old == new:
        assert patch == b""
        return
    assert applied(tmp_path_factory.mktemp("tree"), before, patch) == after
