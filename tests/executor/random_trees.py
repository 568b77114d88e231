# ruff: noqa: PTH101, PTH102, PTH104, PTH108, PTH112, PTH114, PTH116, PTH123, PTH211  # names that are not UTF-8 are bytes here
"""Random trees and what may happen to them: edit → save → destroy → restore, equal each time.

`python -m tests.executor.random_trees 1000` goes on until there were so many cycles.
"""

import asyncio
import mmap
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from executor.workspace.index import Index
from executor.workspace.restoring import wipe
from executor.workspace.saving import Asked, Saved
from tests.executor.kept import Kept
from tests.executor.snapshots import ACKNOWLEDGED, CHECKPOINT, Disk
from tests.executor.trees import Line, canonical

Tree = tuple[list[Line], list[frozenset[bytes]]]
"""What is there, and which paths are names of one file."""

NAMES = st.one_of(
    st.sampled_from(
        [
            *(b"a", b"b", b"A", b"dir", b".hidden", b".git", b".berth", b"session.json", b"-rf"),
            *("nfc-é".encode(), "nfd-é".encode(), b"new\nline", b"not-\xff-utf8", b"n" * 255),
            *(b"a.b", b"a-b", b"a b", b"..a", b"%2f", b"back\\slash", b"trailing. "),
        ]
    ),
    st.binary(min_size=1, max_size=8).map(lambda name: name.translate(None, b"/\0") or b"x"),
).filter(lambda name: name not in {b".", b"..", b".berthignore", b"lost+found"})
PLACES = st.integers(min_value=0, max_value=1 << 30)
"""Of all that is there one is taken by this."""
CONTENTS = st.one_of(
    st.just(b""),
    st.binary(max_size=200),
    st.integers(1, 400_000).map(lambda size: os.urandom(64) * (size // 64 + 1)),
    st.integers(1, 6).map(lambda pieces: (b"%d" % pieces) * (1 << 20)),
)
MODES = st.sampled_from([0o644, 0o755, 0o600, 0o400, 0o000, 0o777, 0o4755, 0o2750, 0o1777])
TIMES = st.integers(0, 4_000_000_000_000_000_000)


class Trees(RuleBasedStateMachine):
    cycles: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="b", dir="/tmp"))
        self.root = self.place / "workspace"
        self.root.mkdir()
        self.top = os.fsencode(self.root)
        self.disk = Disk(self.root, Index(self.place / "index"))
        self.store = Kept()
        self.runner = asyncio.Runner()
        self.saved: list[tuple[Saved, Tree]] = []

    def teardown(self) -> None:
        self.runner.close()
        wipe(self.root)
        shutil.rmtree(self.place)

    # --- what people and agents do -------------------------------------------------------------

    @initialize(names=st.lists(NAMES, min_size=1, max_size=6, unique=True), content=CONTENTS)
    def begin(self, names: list[bytes], content: bytes) -> None:
        for name in names:
            self.write(0, name, content)

    @rule(at=PLACES, name=NAMES, content=CONTENTS)
    def write(self, at: int, name: bytes, content: bytes) -> None:
        path = self.directory(at) + b"/" + name
        if self.is_free_or_file(path):
            Path(os.fsdecode(path)).write_bytes(content)

    @rule(at=PLACES, content=st.binary(min_size=1, max_size=50), keeps_time=st.booleans())
    def change_in_place(self, at: int, content: bytes, keeps_time: bool) -> None:  # noqa: FBT001  # a rule's
        path = self.file(at)
        if path is None:
            return
        status = os.stat(path)
        with open(path, "r+b") as file:
            file.seek(status.st_size // 2)
            file.write(content)
        if keeps_time:
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    @rule(at=PLACES, byte=st.integers(0, 255))
    def change_through_a_mapping(self, at: int, byte: int) -> None:
        """Dirty when a checkpoint reads it, and written again."""
        path = self.file(at)
        if path is None or not os.stat(path).st_size:
            return
        with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
            mapped[0] ^= 1
            self.save(CHECKPOINT)
            mapped[-1] = byte

    @rule(at=PLACES, size=st.integers(0, 1 << 30))
    def cut(self, at: int, size: int) -> None:
        """Shorter, or longer by a hole."""
        if (path := self.file(at)) is not None:
            os.truncate(path, size if size < 1 << 24 else size % 1000)

    @rule(at=PLACES, name=NAMES)
    def make_directory(self, at: int, name: bytes) -> None:
        path = self.directory(at) + b"/" + name
        if not os.path.lexists(path):
            os.mkdir(path)

    @rule(at=PLACES, name=NAMES, to=st.one_of(NAMES, st.just(b"/etc/passwd")))
    def link(self, at: int, name: bytes, to: bytes) -> None:
        path = self.directory(at) + b"/" + name
        if not os.path.lexists(path):
            os.symlink(to, path)

    @rule(at=PLACES, of=PLACES, name=NAMES)
    def twin(self, at: int, of: int, name: bytes) -> None:
        path, first = self.directory(at) + b"/" + name, self.file(of)
        if first is not None and not os.path.lexists(path):
            os.link(first, path)

    @rule(at=PLACES, to=PLACES, name=NAMES)
    def move(self, at: int, to: int, name: bytes) -> None:
        found, target = self.anything(at), self.directory(to) + b"/" + name
        if found and not os.path.lexists(target) and not target.startswith(found + b"/"):
            os.rename(found, target)

    @rule(at=PLACES)
    def remove(self, at: int) -> None:
        if (found := self.anything(at)) is not None:
            self.clear(found)

    @rule(at=PLACES, content=CONTENTS)
    def put_a_file_in_its_place(self, at: int, content: bytes) -> None:
        if (found := self.anything(at)) is not None:
            self.clear(found)
            Path(os.fsdecode(found)).write_bytes(content)

    @rule(at=PLACES, mode=MODES)
    def change_mode(self, at: int, mode: int) -> None:
        found = self.anything(at)
        if found is not None and not os.path.islink(found):
            os.chmod(found, mode | (0o700 if os.path.isdir(found) else 0))

    @rule(at=PLACES, moment=TIMES)
    def change_time(self, at: int, moment: int) -> None:
        if (found := self.anything(at)) is not None:
            os.utime(found, ns=(moment, moment), follow_symlinks=False)

    # --- what we do ----------------------------------------------------------------------------

    @rule()
    def checkpoint(self) -> None:
        self.save(CHECKPOINT)

    @rule(anew=st.booleans())
    def save_and_restore(self, anew: bool) -> None:  # noqa: FBT001  # a rule's
        """As on another host, if `anew`: without an index."""
        saved, tree = self.save(ACKNOWLEDGED)
        if anew:
            self.disk.index.forget()
        self.restore(saved, tree, reuse=False)

    @rule(which=PLACES)
    def go_back(self, which: int) -> None:
        """Over what is there."""
        if self.saved:
            saved, tree = self.saved[which % len(self.saved)]
            self.restore(saved, tree, reuse=True)

    def save(self, asked: Asked) -> tuple[Saved, Tree]:
        known = self.runner.run(self.disk.save(self.store, asked)), tree_of(self.root)
        if asked is ACKNOWLEDGED:
            self.saved.append(known)
        return known

    def restore(self, saved: Saved, tree: Tree, *, reuse: bool) -> None:
        self.runner.run(self.disk.restore(self.store, self.store.point(saved), reuse=reuse))
        assert tree_of(self.root) == tree
        type(self).cycles += 1

    # --- what is there -------------------------------------------------------------------------

    def paths(self) -> Iterator[bytes]:
        for above, directories, files in os.walk(self.top):
            for name in sorted((*directories, *files)):
                yield above + b"/" + name

    def anything(self, at: int) -> bytes | None:
        found = list(self.paths())
        return found[at % len(found)] if found else None

    def directory(self, at: int) -> bytes:
        found = [path for path in self.paths() if stat.S_ISDIR(os.lstat(path).st_mode)]
        # deeper than this, names reach the kernel's limit for those who use paths
        found = [self.top, *(path for path in found if len(path) < 2000)]
        return found[at % len(found)]

    def file(self, at: int) -> bytes | None:
        found = [path for path in self.paths() if stat.S_ISREG(os.lstat(path).st_mode)]
        return found[at % len(found)] if found else None

    @staticmethod
    def is_free_or_file(path: bytes) -> bool:
        return not os.path.lexists(path) or stat.S_ISREG(os.lstat(path).st_mode)

    @staticmethod
    def clear(path: bytes) -> None:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def tree_of(root: Path) -> Tree:
    names: dict[int, set[bytes]] = {}
    lines = canonical(root)
    for path, kind, *_ in lines:
        if kind == "f":
            inode = os.lstat(os.fsencode(root) + b"/" + path).st_ino
            names.setdefault(inode, set()).add(path)
    return lines, sorted((frozenset(paths) for paths in names.values()), key=sorted)


def run(*, examples: int, steps: int) -> None:
    known = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        derandomize=False,
        database=None,
    )
    run_state_machine_as_test(Trees, settings=known)


def main(cycles: int) -> None:
    while Trees.cycles < cycles:
        run(examples=20, steps=50)
        print(f"{Trees.cycles} cycles", flush=True)  # noqa: T201  # who runs it looks on


if __name__ == "__main__":
    main(int(sys.argv[1]))
