"""Layers over a workspace: seeds, mounts, fix-ups, and what they meet."""

import hashlib
from pathlib import Path
from typing import Any

import pytest

from contracts.reasons import Reason
from contracts.runtime_manifests import CleanupRule, ConflictPolicy
from contracts.snapshots import LayerFile
from executor.object_calls import Content
from executor.services.layers import FETCHES, LARGE_BYTES, apart_of
from executor.workspace import layers
from executor.workspace.layers import Record
from executor.workspace.scan import walk
from tests.executor.layering import Kept, laid, mode_of, mount, names, seed
from tests.fixtures.barriers import Crowd


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "workspace"
    path.mkdir()
    return path


@pytest.fixture
def kept() -> Kept:
    return Kept()


async def test_seeds__are_put_where_nothing_is(root: Path, kept: Kept) -> None:
    tool = kept.file("bin/tool", b"#!/bin/sh\n", executable=True)
    text = LayerFile(path="", size=2, sha256=hashlib.sha256(b"hi").hexdigest(), text="hi")
    done = await laid(
        root, kept, seed(tool, path="/workspace/t"), seed(text, path="/workspace/notes.md")
    )
    assert (root / "t/bin/tool").read_bytes() == b"#!/bin/sh\n"
    assert mode_of(root / "t/bin/tool") == 0o755
    assert ((root / "notes.md").read_text(), mode_of(root / "notes.md")) == ("hi", 0o644)
    assert (done.blocked, done.warnings) == (None, [])


async def test_seeds__what_was_deleted_is_not_put_there_again(root: Path, kept: Kept) -> None:
    one = seed(kept.file("", b"seed"))
    await laid(root, kept, one)
    (root / "a").unlink()
    await laid(root, kept, one)
    assert not (root / "a").exists()
    await laid(root, kept, one, conflict_policy=ConflictPolicy.REPLACE)
    assert (root / "a").read_bytes() == b"seed"


@pytest.mark.parametrize(
    ("policy", "content", "blocked", "warned"),
    [
        (ConflictPolicy.KEEP_SESSION, b"own", None, True),
        (ConflictPolicy.REPLACE, b"seed", None, False),
        (ConflictPolicy.FAIL, b"own", Reason.LAYER_CONFLICT, False),
    ],
)
async def test_conflicts__go_by_the_policy(  # noqa: PLR0917  # parameters of a table
    root: Path,
    kept: Kept,
    policy: ConflictPolicy,
    content: bytes,
    blocked: Reason | None,
    warned: object,
) -> None:
    (root / "a").write_bytes(b"own")
    one = seed(kept.file("", b"seed"))
    for _ in range(2):
        done = await laid(root, kept, one, conflict_policy=policy)
        assert (root / "a").read_bytes() == content
        assert done.blocked is blocked
        if blocked:
            assert "/workspace/a" in done.detail
        if policy is not ConflictPolicy.REPLACE:
            assert bool(done.warnings) is warned


async def test_edits__of_a_seed_are_no_conflict(root: Path, kept: Kept) -> None:
    one = seed(kept.file("", b"seed"))
    await laid(root, kept, one, conflict_policy=ConflictPolicy.FAIL)
    (root / "a").write_bytes(b"edited")
    done = await laid(root, kept, one, conflict_policy=ConflictPolicy.FAIL)
    assert (done.blocked, (root / "a").read_bytes()) == (None, b"edited")


async def test_mounts__are_read_only_and_in_no_snapshot(root: Path, kept: Kept) -> None:
    (root / "own.txt").write_text("own")
    shared = mount(
        LayerFile(path="empty"),
        kept.file("docs/a.md", b"a"),
        kept.file("run", b"r", executable=True),
    )
    done = await laid(root, kept, shared)
    top = root / ".berth/project"
    assert (top / "docs/a.md").read_bytes() == b"a"
    modes = [mode_of(top / name) for name in ("", "docs", "docs/a.md", "run", "empty")]
    assert modes == [0o500, 0o500, 0o444, 0o555, 0o500]
    found = walk(root, max_items=100, skipped=[], ignored=lambda _: None, apart=apart_of(done))
    paths = {one.path for one in found}
    assert b"own.txt" in paths
    assert not [path for path in paths if path.startswith(b".berth/project")]
    assert not [path for path in paths if path.startswith(b".berth/")]


async def test_mounts__are_made_anew_for_the_next_worker(root: Path, kept: Kept) -> None:
    before = await laid(root, kept, mount(kept.file("a", b"1"), kept.file("old", b"o")))
    await laid(root, kept, mount(kept.file("a", b"2")), ours=tuple(before.mounts))
    top = root / ".berth/project"
    assert (names(top), (top / "a").read_bytes()) == (["a"], b"2")


async def test_mounts__of_one_file(root: Path, kept: Kept) -> None:
    done = await laid(root, kept, mount(kept.file("", b"{}"), path="/workspace/.mcp.json"))
    assert ((root / ".mcp.json").read_bytes(), mode_of(root / ".mcp.json")) == (b"{}", 0o444)
    assert apart_of(done) == {b".mcp.json"}


async def test_mounts__meet_what_the_session_has(root: Path, kept: Kept) -> None:
    (root / "docs").mkdir()
    (root / "docs/own").write_text("own")
    shared = mount(kept.file("a", b"a"), path="/workspace/docs")
    done = await laid(root, kept, shared)
    assert (done.mounts, names(root / "docs")) == ([], ["own"])
    done = await laid(root, kept, shared, conflict_policy=ConflictPolicy.FAIL)
    assert (done.blocked, names(root / "docs")) == (Reason.LAYER_CONFLICT, ["own"])
    done = await laid(root, kept, shared, conflict_policy=ConflictPolicy.REPLACE)
    assert (done.mounts, names(root / "docs")) == (["/workspace/docs"], ["a"])


async def test_fix_ups__clean_and_protect(root: Path, kept: Kept) -> None:
    (root / "cache/deep").mkdir(parents=True)
    (root / "cache/deep/file").write_text("1")
    (root / "run").mkdir()
    for name in ("a.lock", "b.lock", "kept.txt"):
        (root / "run" / name).write_text("1")
    (root / "vendor/inner").mkdir(parents=True)
    (root / "vendor/inner/file").write_text("1")
    await laid(
        root,
        kept,
        cleanup_rules=[
            CleanupRule(path="/workspace/cache"),
            CleanupRule(path="/workspace/run", pattern="*.lock"),
            CleanupRule(path="/workspace/not/there"),
        ],
        protected_paths=["/workspace/vendor", "/workspace/not/there"],
    )
    assert not (root / "cache").exists()
    assert names(root / "run") == ["kept.txt"]
    assert not mode_of(root / "vendor/inner/file") & 0o222
    assert not mode_of(root / "vendor") & 0o222


@pytest.mark.parametrize(
    ("saved", "app", "blocked", "warned"),
    [
        ("1.2", "1.2", None, False),
        ("1.2", "1.10", None, False),
        ("1.10", "1.9", None, True),
        ("2", "1.9.9", Reason.RUNTIME_TOO_OLD, False),
        ("2", "", None, False),
        ("", "1", None, False),
        ("nonsense", "1", None, False),
        ("9" * 5000, "1", None, False),
    ],
)
async def test_runtime__of_a_session_is_looked_at_first(  # noqa: PLR0917  # parameters of a table
    root: Path,
    kept: Kept,
    saved: str,
    app: str,
    blocked: Any,
    warned: object,
) -> None:
    layers.remember(root, Record(runtime_version=saved))
    done = await laid(root, kept, seed(kept.file("", b"1")), runtime_version=app)
    assert (done.blocked, bool(done.warnings)) == (blocked, warned)
    assert (root / "a").exists() is (blocked is None)
    if blocked:
        assert layers.record_in(root).runtime_version == saved


async def test_record__is_written_only_where_something_is_new(root: Path, kept: Kept) -> None:
    """A start that changes nothing leaves nothing to be saved."""
    one = seed(kept.file("", b"seed"))
    await laid(root, kept, one, mount(kept.file("m", b"1")), runtime_version="1")
    record = root / ".berth/layers.json"
    before, above = record.stat(), record.parent.stat().st_mtime_ns
    await laid(
        root,
        kept,
        one,
        mount(kept.file("m", b"2")),
        runtime_version="1",
        ours=("/workspace/.berth/project",),
    )
    assert (record.stat().st_mtime_ns, record.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert record.parent.stat().st_mtime_ns == above


async def test_mounts__that_a_plan_has_no_more_go(root: Path, kept: Kept) -> None:
    """They would be the session's own in its next snapshot."""
    told: list[list[str]] = []
    there: list[bool] = []

    async def own(mounts: list[str]) -> None:
        told.append(mounts)
        there.append((root / "new").exists() or not (root / "old").exists())

    old, new = (mount(kept.file("f", b"1"), path=f"/workspace/{name}") for name in ("old", "new"))
    done = await laid(root, kept, old)
    done = await laid(root, kept, new, ours=tuple(done.mounts), own=own)
    assert (names(root), done.mounts) == (["new"], ["/workspace/new"])
    # each before it is done: a save in between takes nothing of a layer, leaves out nothing else
    assert (told, there) == ([[], ["/workspace/new"]], [False, True])


async def test_mounts__stay_the_layers_where_a_runtime_is_refused(root: Path, kept: Kept) -> None:
    done = await laid(root, kept, mount(kept.file("a", b"1")))
    layers.remember(root, Record(runtime_version="2"))
    again = await laid(root, kept, ours=tuple(done.mounts), runtime_version="1")
    assert (again.blocked, again.mounts) == (Reason.RUNTIME_TOO_OLD, done.mounts)


@pytest.mark.parametrize("order", [1, -1])
async def test_protected__inside_of_what_is_protected(root: Path, kept: Kept, order: int) -> None:
    """The way to the inner one is not opened up again."""
    (root / "a/b/c").mkdir(parents=True)
    paths = ["/workspace/a", "/workspace/a/b", "/workspace/a/b/c"][::order]
    for _ in range(2):
        await laid(root, kept, protected_paths=paths)
        assert [mode_of(root / path) & 0o222 for path in ("a", "a/b", "a/b/c")] == [0, 0, 0]


async def test_contents__are_fetched_many_at_once(root: Path) -> None:
    """One request each, to a store that may be far away; of large ones one is in memory."""
    small, large = Together(FETCHES), Together(2)
    contents = [b"%d" % number for number in range(100)]
    await laid(root, small, mount(*(small.file(f"f{n}", one) for n, one in enumerate(contents))))
    assert (small.most, len(names(root / ".berth/project"))) == (FETCHES, 100)
    heavy = [bytes([number]) * (LARGE_BYTES + 1) for number in range(3)]
    await laid(
        root,
        large,
        mount(*(large.file(f"f{n}", one) for n, one in enumerate(heavy)), path="/workspace/l"),
    )
    assert large.most == 1


class Together(Kept):
    """Each read waits until there are enough, or no more come."""

    def __init__(self, enough: int) -> None:
        super().__init__()
        self.most = self._now = 0
        self._crowd = Crowd(enough)

    async def read(self, key: str, stretch: tuple[int, int], *, whole: bool) -> Content:
        self._now += 1
        self.most = max(self.most, self._now)
        await self._crowd.action()
        self._now -= 1
        return await super().read(key, stretch, whole=whole)
