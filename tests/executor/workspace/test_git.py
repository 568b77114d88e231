"""The real `git`: a repository with work of every kind in it is, after a save and a restore on an
empty disk, the one that it was; to git itself, and to the byte.
"""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from executor.workspace.restoring import wipe
from tests.executor.kept import Kept
from tests.executor.snapshots import Disk, disk_at
from tests.executor.trees import Line, canonical

DATE = "2026-01-01T00:00:00 +0000"
VARIABLES = {
    "PATH": os.defpath,
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_AUTHOR_DATE": DATE,
    "GIT_COMMITTER_DATE": DATE,
    "GIT_OPTIONAL_LOCKS": "0",
    "LC_ALL": "C",
}
"""Without optional locks nobody who only looks refreshes the index."""
ASKED = (
    ("status", "--porcelain=v2", "--branch", "--show-stash", "--ignored", "--untracked-files=all"),
    ("fsck", "--strict", "--full", "--no-dangling"),
    ("stash", "list"),
    ("log", "--all", "--graph", "--format=%H %P %d %s"),
    ("reflog", "--all"),
    ("diff", "--binary"),
    ("diff", "--cached", "--binary"),
    ("branch", "-avv"),
    ("ls-files", "--stage"),
    ("submodule", "status", "--recursive"),
    ("config", "--local", "--list"),
    ("count-objects", "-v"),
)
COMMITS = 30


def git(at: Path, *words: str, given: str = "") -> str:
    options = ["-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"]
    ran = subprocess.run(
        ["git", *options, *words],
        cwd=at,
        env=VARIABLES,
        input=given.encode(),
        capture_output=True,
        check=False,
    )
    said = (ran.stdout + ran.stderr).decode(errors="surrogateescape")
    assert ran.returncode == 0, f"git {' '.join(words)}: {said}"
    return said


def commit(at: Path, message: str) -> None:
    git(at, "add", "--all")
    git(at, "commit", "--quiet", "--allow-empty", "--message", message)


def make_repository(root: Path) -> None:
    """A history with branches, a merge, tags, packed and loose objects."""
    root.mkdir()
    git(root, "init", "--quiet")
    for number in range(COMMITS):
        (root / "src" / f"part{number % 5}").mkdir(parents=True, exist_ok=True)
        (root / "src" / f"part{number % 5}" / f"f{number}.py").write_text(f"x = {number}\n" * 40)
        (root / "README").write_text(f"{number}\n")
        commit(root, f"change {number}")
        if number == COMMITS // 2:
            git(root, "gc", "--quiet")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "link").symlink_to("README")
    (root / "nämé with space").write_bytes(bytes(range(256)))
    (root / ".gitignore").write_text("*.log\nbuild/\n")
    commit(root, "modes and names")
    git(root, "tag", "--annotate", "v1", "--message", "one")
    git(root, "switch", "--quiet", "--create", "topic", "HEAD~4")
    (root / "topic").write_text("topic")
    commit(root, "topic")
    git(root, "switch", "--quiet", "main")
    git(root, "merge", "--quiet", "--no-edit", "topic")
    git(root, "branch", "another", "HEAD~3")


def leave_work(root: Path, other: Path) -> None:
    """A submodule, a worktree, a stash, work that is staged, in part, changed, and untracked."""
    git(root, "submodule", "--quiet", "add", str(other), "library")
    git(root, "commit", "--quiet", "--message", "library")
    git(root, "worktree", "add", "--quiet", "../beside", "another")
    (root.parent / "beside" / "README").write_text("in the worktree")
    (root / "README").write_text("for the stash")
    git(root, "stash", "push", "--quiet", "--include-untracked", "--message", "put away")
    (root / "README").write_text("staged")
    git(root, "add", "README")
    (root / "README").write_text("staged, and then changed")
    (root / "src" / "part0" / "f0.py").unlink()
    git(root, "rm", "--quiet", "src/part1/f1.py")
    git(root, "mv", "topic", "moved")
    (root / "run.sh").chmod(0o644)
    (root / "untracked").mkdir()
    (root / "untracked" / "new.py").write_text("new")
    (root / "build").mkdir()
    (root / "build" / "out.log").write_text("ignored by git, not by us")
    (root / "library" / "README").write_text("changed in the submodule")
    (root / ".git" / "hooks" / "pre-commit").write_text("#!/bin/sh\nexit 0\n")
    (root / ".git" / "hooks" / "pre-commit").chmod(0o755)


@pytest.fixture
def disk(place: Path) -> Disk:
    """With a repository in it, in the middle of somebody's work."""
    disk = disk_at(place)
    make_repository(disk.root / "library-origin")
    make_repository(disk.root / "project")
    leave_work(disk.root / "project", disk.root / "library-origin")
    return disk


def answers(root: Path) -> dict[str, str]:
    return {
        f"{where}: {' '.join(words)}": git(root / where, *words)
        for where in ("project", "beside", "project/library")
        for words in ASKED
    }


def without_indexes(tree: list[Line]) -> list[Line]:
    return [
        line
        for line in tree
        if not (b".git" in line[0] and (line[0].endswith(b"/index") or line[1] == "d"))
    ]


def untouched(project: Path) -> set[str]:
    """Files whose time and size are, to the nanosecond, what git's index says of them."""
    found = set[str]()
    name, moment = "", ""
    for line in git(project, "ls-files", "--debug").splitlines():
        if not line.startswith("  "):
            name = line
        elif line.startswith("  mtime: "):
            moment = line.removeprefix("  mtime: ")
        elif line.startswith("  size: "):
            path = project / name
            status = path.lstat() if os.path.lexists(path) else None
            size = int(line.removeprefix("  size: ").split()[0])
            seconds, nanoseconds = map(int, moment.split(":"))
            wanted = (seconds * 1_000_000_000 + nanoseconds, size)
            # a submodule's directory says nothing of what is in it
            is_file = status is not None and not stat.S_ISDIR(status.st_mode)
            if status and is_file and (status.st_mtime_ns, status.st_size) == wanted:
                found.add(name)
    return found


async def test_repository__is_to_git_as_before(disk: Disk) -> None:
    store = Kept()
    before, tree = answers(disk.root), canonical(disk.root)
    assert "put away" in before["project: stash list"]
    assert "\n1 MM " in before["project: " + " ".join(ASKED[0])]
    saved = await disk.save(store)
    assert not saved.skipped
    wipe(disk.root)
    await disk.restore(store, store.point(saved))
    assert canonical(disk.root) == tree
    assert answers(disk.root) == before
    # who only asked has changed nothing; but for the index, which `git diff` brings up to date with
    # the disk's new inodes whatever it is told of locks
    assert without_indexes(canonical(disk.root)) == without_indexes(tree)


async def test_repository__what_git_remembers_of_files_is_still_true(disk: Disk) -> None:
    """By time and size no file looks changed that was not: where git is told to look at these, it
    reads none again. (Inodes and times of changes are the disk's own; by them git looks once.)
    """
    project, store = disk.root / "project", Kept()
    known, index = untouched(project), (project / ".git" / "index").read_bytes()
    assert len(known) > COMMITS - 5
    minimal = ("-c", "core.checkStat=minimal", "-c", "core.trustctime=false")
    suspected = git(project, *minimal, "diff-files", "--name-only")
    saved = await disk.save(store)
    wipe(disk.root)
    await disk.restore(store, store.point(saved))
    assert untouched(project) == known
    assert git(project, *minimal, "diff-files", "--name-only") == suspected
    assert (project / ".git" / "index").read_bytes() == index


async def test_repository__goes_on_where_it_was(disk: Disk) -> None:
    """The stash comes back, the work is committed, the index and the history hold."""
    project, store = disk.root / "project", Kept()
    saved = await disk.save(store)
    await disk.restore(store, store.point(saved))
    git(project, "commit", "--quiet", "--all", "--message", "after the restore")
    git(project, "checkout", "stash@{0}", "--", "README")
    assert (project / "README").read_text() == "for the stash"
    commit(disk.root / "beside", "in the worktree")
    git(project, "gc", "--quiet", "--prune=now")
    again = await disk.save(store)
    tree, after = canonical(disk.root), answers(disk.root)
    await disk.restore(store, store.point(again), reuse=True)
    assert canonical(disk.root) == tree
    assert answers(disk.root) == after
    await disk.restore(store, store.point(saved), reuse=True)
    assert "put away" in git(project, "stash", "list")
    git(project, "fsck", "--strict")


async def test_objects__by_the_thousand(disk: Disk) -> None:
    """As an import leaves them: loose, read-only, each of a few bytes."""
    project, store = disk.root / "project", Kept()
    names = "\n".join(make_blobs(disk.root, 5000))
    git(project, "hash-object", "-w", "--stdin-paths", given=names)
    assert int(git(project, "count-objects").split()[0]) >= 5000
    tree = canonical(disk.root)
    saved = await disk.save(store)
    assert len(store.packs) <= 3
    wipe(disk.root)
    await disk.restore(store, store.point(saved))
    assert canonical(disk.root) == tree
    git(project, "fsck", "--strict", "--no-dangling")


def make_blobs(root: Path, count: int) -> list[str]:
    place = root / "node_modules"
    for number in range(count):
        at = place / f"package{number // 25}" / "lib"
        if number % 25 == 0:
            at.mkdir(parents=True)
            (at.parent / ".cache").mkdir()
        (at / f"{number}.js").write_text(f"module.exports = {number};\n")
    return [str(path) for path in place.rglob("*.js")]
