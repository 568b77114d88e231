"""Directories beneath a root: by `openat2`, and where that is not to be had step by step."""

import errno
import os
from collections.abc import Generator
from pathlib import Path

import pytest

from executor.workspace.errors import UnsafePath
from executor.workspace.parents import (
    DIRECTORY,
    PATH_MAX,
    Opening,
    Parents,
    at_once,
    best_opening,
    step_by_step,
)
from snapshots.errors import BadPath


@pytest.fixture
def root(tmp_path: Path) -> Generator[int]:
    handle = os.open(tmp_path, DIRECTORY)
    yield handle
    os.close(handle)


@pytest.fixture(params=[at_once, step_by_step])
def opening(request: pytest.FixtureRequest) -> Opening:
    return request.param


def test_best__is_openat2_where_the_kernel_has_it() -> None:
    assert best_opening() is at_once


def test_best__is_step_by_step_where_it_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(root: int, path: bytes) -> int:
        raise OSError(errno.ENOSYS, f"{root} {path!r}")

    best_opening.cache_clear()
    monkeypatch.setattr("executor.workspace.parents.at_once", refused)
    assert best_opening() is step_by_step
    best_opening.cache_clear()


def test_of__is_where_things_are_made(root: int, tmp_path: Path, opening: Opening) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with Parents(root, opening) as parents:
        for path in (b"a/b/one", b"a/b/two", b"a/three", b"four"):
            parent, name = parents.of(path)
            os.mkdir(name, dir_fd=parent)
    assert (tmp_path / "a" / "b" / "two").is_dir()
    assert (tmp_path / "a" / "three").is_dir()
    assert (tmp_path / "four").is_dir()


@pytest.mark.parametrize(
    "path",
    [
        *(b"link/file", b"link/inner/file", b"a/up/file", b"file/x", b"proc/self/cwd/x"),
        *(b"absolute/x", b"a/../../outside/x", b"/etc/x", b"a\0b/x"),
    ],
)
def test_of__never_leads_out(path: bytes, root: int, tmp_path: Path, opening: Opening) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path.parent)
    (tmp_path / "absolute").symlink_to("/")
    (tmp_path / "a" / "up").symlink_to("../..")
    (tmp_path / "proc").symlink_to("/proc")
    with Parents(root, opening) as parents, pytest.raises((UnsafePath, BadPath)):
        parents.of(path)


def test_of__paths_beyond_the_kernels_limit(root: int, opening: Opening) -> None:
    part = b"d" * 200
    current = os.dup(root)
    for _ in range(30):
        os.mkdir(part, dir_fd=current)
        following = os.open(part, DIRECTORY, dir_fd=current)
        os.close(current)
        current = following
    os.close(current)
    path = b"/".join([part] * 30)
    assert len(path) > PATH_MAX
    with Parents(root, opening) as parents:
        parent, name = parents.of(path + b"/leaf")
        os.mkdir(name, dir_fd=parent)
        assert parents.of(path + b"/leaf/x")[0] != root


def test_handles__are_closed(root: int, tmp_path: Path, opening: Opening) -> None:
    (tmp_path / "a").mkdir()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with Parents(root, opening) as parents:
            parents.of(b"a/x")
            parents.of(b"x")
            parents.of(b"a/y")
            with pytest.raises(OSError, match="No such file"):
                parents.of(b"a/none/x")
    assert len(list(Path("/proc/self/fd").iterdir())) == before
