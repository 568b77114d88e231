"""Layers and what would lead them out of the workspace, or ends them in the middle."""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from chassis.failpoints import FailpointReached, arm, disarm_all
from contracts.runtime_manifests import CleanupRule, ConflictPolicy
from executor.workspace import layers
from executor.workspace.beneath import opened_directory, remove
from executor.workspace.errors import RestoreFailed
from tests.executor.layering import Kept, archive, laid, mode_of, mount, names, seed


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    return path


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.mark.parametrize("policy", list(ConflictPolicy))
async def test_links__are_never_followed_out(
    tmp_path: Path, root: Path, kept: Kept, policy: ConflictPolicy
) -> None:
    """H01, I17: what the agent left as a link where a layer comes."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    (root / "a").symlink_to(outside)
    (root / "m").symlink_to(outside)
    (root / "clean").symlink_to(outside)
    (root / "keep").symlink_to(outside)
    await laid(
        root,
        kept,
        seed(kept.file("x/seed", b"seed")),
        mount(kept.file("shared", b"s"), path="/workspace/m/n"),
        conflict_policy=policy,
        cleanup_rules=[
            CleanupRule(path="/workspace/clean/secret"),
            CleanupRule(path="/workspace/clean", pattern="*"),
        ],
        protected_paths=["/workspace/keep", "/workspace/keep/secret"],
    )
    assert names(outside) == ["secret"]
    assert (outside / "secret").read_text() == "secret"
    assert mode_of(outside / "secret") & 0o200
    assert mode_of(outside) & 0o200


@pytest.mark.parametrize("name", ["../out", "/etc/out", "a//b", "a/./b", "", "a\0b"])
async def test_names__that_lead_out_of_a_mount_are_refused(
    tmp_path: Path, root: Path, kept: Kept, name: str
) -> None:
    """H11: whatever a plan that was tampered with says."""
    with pytest.raises((RestoreFailed, layers.UnsafePath)):
        await laid(root, kept, mount(kept.file("fine", b"1"), kept.file(name, b"out")))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "/workspace", "workspace/a", "/workspaces/a"])
async def test_paths__outside_of_the_workspace_are_refused(
    root: Path, kept: Kept, path: str
) -> None:
    with pytest.raises(RestoreFailed, match="layer_refused"):
        await laid(root, kept, seed(kept.file("", b"1"), path=path))


async def test_contents__that_are_not_what_was_kept_are_not_used(root: Path, kept: Kept) -> None:
    file = kept.file("", b"right")
    kept.contents[str(file.key)] = b"wrong"
    with pytest.raises(RestoreFailed, match="layer_damaged"):
        await laid(root, kept, seed(file))
    assert not (root / "a").exists()


async def test_archives__are_unpacked_once(root: Path, kept: Kept) -> None:
    packed = kept.file("", archive(("src/main.py", "file", "print()"), ("README", "file", "hi")))
    one = seed(packed, path="/workspace/app", unpack=True)
    await laid(root, kept, one)
    assert (root / "app/src/main.py").read_text() == "print()"
    (root / "app/README").unlink()
    await laid(root, kept, one)
    assert not (root / "app/README").exists()


@pytest.mark.parametrize(
    "members",
    [
        [("../out", "file", "x")],
        [("/etc/out", "file", "x")],
        [("l", "link", "../.."), ("l/out", "file", "x")],
        [("l", "link", "/etc"), ("l/out", "file", "x")],
        [("t", "twin", "../../out")],
        [("f", "fifo", "")],
    ],
)
async def test_archives__that_lead_out_are_refused_whole(
    tmp_path: Path, root: Path, kept: Kept, members: list[tuple[str, str, str]]
) -> None:
    """H11 and the set of D18: nothing of such an archive is there afterwards."""
    packed = kept.file("", archive(("first", "file", "1"), *members))
    with pytest.raises(
        RestoreFailed, match=r"seed_archive_refused: the seed of /workspace/app: .*runtime_manifest"
    ):
        await laid(root, kept, seed(packed, path="/workspace/app", unpack=True))
    assert not (tmp_path / "out").exists()
    assert not (root / "app").exists()
    assert not [name for name in names(root) if name != ".berth"]


def dying_at(hit: int) -> Callable[[], None]:
    left = [hit]

    def die() -> None:
        left[0] -= 1
        if left[0] == 0:
            raise FailpointReached

    return die


POINTS = [
    "layers.before_swap",
    "layers.between_swap",
    "layers.after_swap",
    "layers.after_record",
    "layers.after_seeds",
    "layers.after_mounts",
    "layers.between_removals",
    "layers.after_protect",
]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("hit", [1, 2])
async def test_crash__at_each_failpoint_the_same_comes_of_it(
    root: Path, kept: Kept, point: str, hit: int
) -> None:
    """The next start begins with the restored tree; here even with what was left."""

    async def once() -> Any:
        (root / "run").mkdir(exist_ok=True)
        return await laid(
            root,
            kept,
            seed(kept.file("x", b"1"), kept.file("y", b"2")),
            mount(kept.file("m", b"3")),
            ours=("/workspace/.berth/project",),
            cleanup_rules=[CleanupRule(path="/workspace/run", pattern="*.tmp")],
            protected_paths=["/workspace/a/y"],
        )

    (root / "run").mkdir()
    for name in ("1.tmp", "2.tmp"):
        (root / "run" / name).write_text("1")
    arm(point, dying_at(hit))
    try:
        with suppress(FailpointReached):
            await once()
    finally:
        disarm_all()
    await once()
    assert ((root / "a/x").read_bytes(), (root / "a/y").read_bytes()) == (b"1", b"2")
    assert (root / ".berth/project/m").read_bytes() == b"3"
    assert names(root) == [".berth", "a", "run"]
    assert names(root / "run") == []
    assert mode_of(root / "a/y") & 0o222 == 0


async def test_directories__that_two_threads_make_at_once(
    root: Path, kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen that there is none, then both make it."""
    together = threading.Barrier(2)
    make = os.mkdir

    def mkdir(path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        if path == b"a":
            together.wait(30)
        make(path, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", mkdir)
    await laid(root, kept, seed(kept.file("x", b"1"), kept.file("y", b"2")))
    assert names(root / "a") == ["x", "y"]


def test_removed__through_a_link_that_comes_in_between(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory was looked at, and is a link when its turn comes."""
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    (root / "it").mkdir()
    unlink = os.unlink

    def swapping(path: Any, *, dir_fd: int | None = None) -> None:
        try:
            unlink(path, dir_fd=dir_fd)
        except IsADirectoryError:
            (root / "it").rmdir()
            (root / "it").symlink_to(outside)
            raise

    monkeypatch.setattr(os, "unlink", swapping)
    with opened_directory(root) as top, pytest.raises(OSError, match="it"):
        remove(top, b"it")
    assert mode_of(outside) == 0o500
