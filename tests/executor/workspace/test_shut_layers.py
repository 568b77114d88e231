"""Layers over what the session's agent has shut, for itself and so for us: as its uid, as in a
container.
"""

import os
from pathlib import Path

import pytest

from contracts.runtime_manifests import CleanupRule
from executor.threads import AgentThreads
from tests.executor.confined import give, own_identity
from tests.executor.layering import Kept, laid, mode_of, mount, names


@pytest.fixture
def threads(place: Path) -> AgentThreads:
    if os.getuid() != 0:
        return AgentThreads(None)
    give(place, own_identity())
    return AgentThreads(own_identity())


@pytest.fixture
def root(place: Path) -> Path:
    return place / "workspace"


def shut(path: Path, mode: int) -> None:
    path.chmod(mode)
    if os.getuid() == 0:
        identity = own_identity()
        for one in (path, *path.rglob("*")):
            os.lchown(one, identity.uid, identity.gid)


@pytest.mark.parametrize("mode", [0o000, 0o500, 0o111])
async def test_cleaned__also_in_what_is_shut(root: Path, threads: AgentThreads, mode: int) -> None:
    """By its agent, or because it is protected: it stays as shut as it was."""
    (root / "run/deep").mkdir(parents=True)
    for name in ("a.lock", "deep/b.lock", "kept"):
        (root / "run" / name).write_text("1")
    (root / "run/deep").chmod(mode)
    shut(root / "run", mode)
    rules = [
        CleanupRule(path="/workspace/run", pattern="*.lock"),
        CleanupRule(path="/workspace/run", pattern="deep"),
    ]
    await laid(root, Kept(), threads=threads, cleanup_rules=rules)
    assert mode_of(root / "run") == mode
    (root / "run").chmod(0o700)
    assert names(root / "run") == ["kept"]


async def test_cleaned__a_link_in_what_is_shut_leads_nowhere(
    place: Path, root: Path, threads: AgentThreads
) -> None:
    """It cannot be unlinked at first; what it leads to is not opened up for that."""
    outside = place / "outside"
    outside.mkdir()
    shut(outside, 0o500)
    (root / "it/in").mkdir(parents=True)
    (root / "it/in/link").symlink_to(outside)
    (root / "it/link").symlink_to(outside)
    (root / "it/in").chmod(0o500)
    shut(root / "it", 0o500)
    rules = [CleanupRule(path="/workspace/it", pattern="*"), CleanupRule(path="/workspace/it")]
    await laid(root, Kept(), threads=threads, cleanup_rules=rules)
    assert mode_of(outside) == 0o500
    assert names(root) == []


async def test_mounted__again_and_gone_though_it_cannot_be_written(
    root: Path, threads: AgentThreads
) -> None:
    """Read-only for who owns it: that is also who makes it anew."""
    kept = Kept()
    ours: tuple[str, ...] = ()
    for content in (b"1", b"2"):
        one = mount(kept.file("deep/a", content), path="/workspace/docs/shared")
        ours = tuple((await laid(root, kept, one, ours=ours, threads=threads)).mounts)
        assert (root / "docs/shared/deep/a").read_bytes() == content
    await laid(root, kept, ours=ours, threads=threads)
    assert names(root / "docs") == []
