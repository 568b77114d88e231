"""A session's tree on this machine: whole, or not at all; never over what is nowhere else."""

import os
import subprocess
from pathlib import Path

import pytest

from cli.exits import CliError
from cli.trees.landing import Landed, land
from tests.cli.trees.trees import Tree, received

TREE: Tree = {
    b"a.txt": ("100644", b"new\n"),
    b"bin": ("40000", b""),
    b"bin/run": ("100755", b"#!/bin/sh\n"),
    b"empty": ("40000", b""),
    b"link": ("120000", b"/etc/shadow"),
    b".git": ("40000", b""),
    b".git/config": ("100644", b"[core]\n\tfsmonitor = false\n"),
}


def landed(directory: Path, tree: Tree = TREE, *, force: bool = False, git: bool = False) -> Landed:
    return land(received(tree), directory, force=force, with_git=git)


def git(directory: Path, *arguments: str) -> None:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", str(directory), *who, *arguments], check=True, capture_output=True)


def leftovers(directory: Path) -> list[Path]:
    return list(directory.parent.glob(f".{directory.name}.berth-*"))


def test_new_directory__is_the_tree(tmp_path: Path) -> None:
    directory = tmp_path / "out"
    told = landed(directory)
    assert (directory / "a.txt").read_bytes() == b"new\n"
    assert os.access(directory / "bin/run", os.X_OK)
    assert (directory / "empty").is_dir()
    assert (directory / "link").readlink() == Path("/etc/shadow")
    assert (directory / "a.txt").stat().st_mtime == 1_700_000_000
    assert not (directory / ".git").exists()
    assert [path for path, _ in told.left_out] == [b".git"]
    assert told.files == 3
    assert not leftovers(directory)


def test_git__is_there_if_it_is_wanted(tmp_path: Path) -> None:
    landed(tmp_path / "out", git=True)
    assert (tmp_path / "out/.git/config").exists()


def test_what_is_only_here__stays(tmp_path: Path) -> None:
    directory = tmp_path / "out"
    directory.mkdir()
    (directory / "mine").write_bytes(b"mine")
    (directory / "a.txt").write_bytes(b"new\n")
    told = landed(directory)
    assert (directory / "mine").read_bytes() == b"mine"
    assert (told.files, told.kept) == (2, 1)
    assert not leftovers(directory)


def test_uncommitted__is_never_lost(tmp_path: Path) -> None:
    directory = tmp_path / "out"
    directory.mkdir()
    (directory / "a.txt").write_bytes(b"mine\n")
    with pytest.raises(CliError, match=r"a\.txt") as refused:
        landed(directory)
    assert "--force" in str(refused.value)
    # nothing of it was begun
    assert [one.name for one in directory.iterdir()] == ["a.txt"]
    assert (directory / "a.txt").read_bytes() == b"mine\n"
    assert not leftovers(directory)
    landed(directory, force=True)
    assert (directory / "a.txt").read_bytes() == b"new\n"


def test_committed__is_replaced_and_what_was_changed_since_is_not(tmp_path: Path) -> None:
    directory = tmp_path / "out"
    directory.mkdir()
    for name in ("a.txt", "other"):
        (directory / name).write_bytes(b"committed\n")
    git(directory, "init", "-q")
    git(directory, "add", ".")
    git(directory, "commit", "-qm", "all")
    landed(directory)
    assert (directory / "a.txt").read_bytes() == b"new\n"
    with pytest.raises(CliError, match=r"a\.txt"):
        landed(directory, {b"a.txt": ("100644", b"newer\n"), b"other": ("100644", b"o")})
    assert (directory / "other").read_bytes() == b"committed\n"


def test_links_of_the_directory__are_not_followed(tmp_path: Path) -> None:
    outside, directory = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    directory.mkdir()
    (directory / "bin").symlink_to(outside)
    for force in (False, True):
        with pytest.raises(CliError, match="bin"):
            landed(directory, force=force)
    assert not list(outside.iterdir())
    assert not (directory / "a.txt").exists()


def test_a_link_where_a_file_comes__is_replaced_not_written_through(tmp_path: Path) -> None:
    outside, directory = tmp_path / "outside", tmp_path / "out"
    outside.write_bytes(b"outside")
    directory.mkdir()
    (directory / "a.txt").symlink_to(outside)
    landed(directory, force=True)
    assert outside.read_bytes() == b"outside"
    assert not (directory / "a.txt").is_symlink()


def test_configuration_of_an_agents__runs_nothing(tmp_path: Path) -> None:
    """A tree that was pulled with its `.git` may have a command in it for whoever asks git."""
    directory, witness = tmp_path / "out", tmp_path / "ran"
    directory.mkdir()
    git(directory, "init", "-q")
    git(directory, "config", "core.fsmonitor", f"touch {witness}; false")
    (directory / "a.txt").write_bytes(b"mine\n")
    with pytest.raises(CliError):
        landed(directory)
    assert not witness.exists()


@pytest.mark.parametrize("path", [b"../out", b"/etc/x", b"a/../../x"])
def test_paths_that_lead_out__are_refused(tmp_path: Path, path: bytes) -> None:
    with pytest.raises(CliError, match="leads out"):
        landed(tmp_path / "out", {path: ("100644", b"x")})
    assert not (tmp_path / "out").exists()
    assert not leftovers(tmp_path / "out")


def test_writing_through_a_link_of_the_archive(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    tree: Tree = {b"d": ("120000", os.fsencode(outside)), b"d/x": ("100644", b"x")}
    with pytest.raises(OSError, match="d"):
        landed(tmp_path / "out", tree)
    assert not list(outside.iterdir())
    assert not leftovers(tmp_path / "out")
