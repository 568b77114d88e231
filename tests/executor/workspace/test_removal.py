"""Trees that are removed, whatever their shape."""

import itertools
import os
import resource
from collections.abc import Generator
from pathlib import Path

import pytest

from executor.workspace.beneath import DIRECTORY, opened_directory, remove

FEW_HANDLES = 64


@pytest.fixture
def few_handles() -> Generator[None]:
    """So many are free, however many this process has open already."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = {int(one.name) for one in Path("/proc/self/fd").iterdir()}
    free = (number for number in itertools.count() if number not in taken)
    limit = next(itertools.islice(free, FEW_HANDLES, None))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def deep(top: Path, levels: int) -> None:
    handle = os.open(top, DIRECTORY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=handle)
        os.close(os.open("f", os.O_CREAT, dir_fd=handle))
        inner = os.open("d", DIRECTORY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)


@pytest.mark.usefixtures("few_handles")
def test_tree__deeper_than_there_are_handles(tmp_path: Path) -> None:
    deep(tmp_path, 300)
    with opened_directory(tmp_path) as top:
        remove(top, b"d")
    assert [one.name for one in tmp_path.iterdir()] == ["f"]


def test_tree__each_directory_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(200):
        (tmp_path / "wide" / str(number) / "in").mkdir(parents=True)
    listed, reads = os.listdir, 0

    def counted(handle: int) -> list[str]:
        nonlocal reads
        reads += 1
        return listed(handle)

    monkeypatch.setattr("executor.workspace.beneath.os.listdir", counted)
    with opened_directory(tmp_path) as top:
        remove(top, b"wide")
    monkeypatch.undo()
    assert listed(tmp_path) == []
    assert reads == 1 + 200 + 200


def test_tree__shut_at_every_level_and_links_never_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    inner = tmp_path / "tree" / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "link").symlink_to(outside)
    (inner / ".removed-x").mkdir()
    for one in (inner, inner.parent, tmp_path / "tree"):
        one.chmod(0)
    with opened_directory(tmp_path) as top:
        remove(top, b"tree")
    assert not (tmp_path / "tree").exists()
    assert (outside / "kept").exists()
