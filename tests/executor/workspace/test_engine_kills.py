"""SIGKILL at every failpoint of saving and restoring, at its first passing and at a later one: what
was committed restores exactly, and the next save and the next restore succeed.

The names are read from the source, so that a new failpoint is tried without being listed here;
`tests/executor/test_crashes.py` does the same with a whole executor around it.
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

import executor.workspace
from contracts.snapshots import RestorePoint
from tests.executor.engine_process import Order
from tests.executor.trees import Line, canonical, make_odd_tree
from tests.fixtures.object_store import StoreServer

SOURCE = Path(executor.workspace.__file__).parent
NAMES = sorted(
    {
        name
        for path in SOURCE.rglob("*.py")
        for name in re.findall(r'failpoint(?:_sync)?\("([a-z_.]+)"\)', path.read_text())
    }
)
SAVING = [name for name in NAMES if name.startswith("save.")]
RESTORING = [name for name in NAMES if name.startswith("restore.")]
REUSING = [name for name in NAMES if name.startswith("reuse.")]
LAYING = [name for name in NAMES if name.startswith("layers.")]
"""Killed in `tests/executor/test_crashes.py` and beside."""
HITS = (1, 4)
DEADLINE = 60.0
KILLED = -9


@dataclass(frozen=True)
class Engine:
    place: Path
    order: Order

    @property
    def root(self) -> Path:
        return Path(self.order.root)

    def run(self, what: str, **changes: Any) -> tuple[int, RestorePoint | None]:
        order = msgspec.structs.replace(self.order, what=what, **changes)
        ran = subprocess.run(
            [sys.executable, "-m", "tests.executor.engine_process", msgspec.json.encode(order)],
            capture_output=True,
            check=False,
            timeout=DEADLINE,
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        assert ran.returncode in {0, KILLED}, ran.stderr.decode()
        said = ran.stdout.splitlines()
        return ran.returncode, msgspec.json.decode(said[-1], type=RestorePoint) if said else None

    def saved(self, what: str = "save") -> RestorePoint:
        status, point = self.run(what)
        assert status == 0
        assert point is not None
        return point

    def elsewhere(self, point: RestorePoint) -> list[Line]:
        """As another host would restore it."""
        place = self.place / uuid4().hex
        (place / "w").mkdir(parents=True)
        order = msgspec.structs.replace(
            self.order, root=str(place / "w"), index=str(place / "index")
        )
        assert replace(self, order=order).run("restore", point=point) == (0, None)
        return canonical(place / "w")


@pytest.fixture
def engine(place: Path, object_store_server: StoreServer) -> Engine:
    store = object_store_server
    order = Order(
        what="save",
        root=str(place / "workspace"),
        index=str(place / "spool" / "index"),
        url=store.endpoint,
        bucket=store.bucket,
        access_key=store.access_key,
        secret_key=store.secret_key,
        prefix=f"t/{uuid4().hex}",
    )
    make_odd_tree(place / "workspace")
    # more than one pack, and batches and frames enough for late hits
    for number in range(10):
        (place / "workspace" / f"large{number}").write_bytes(os.urandom(3 << 20))
    return Engine(place, order)


def change(root: Path) -> None:
    (root / "empty-dir").rmdir()
    (root / "empty-dir").write_text("a file now")
    (root / "plain.txt").write_text("changed")
    (root / "link-dir").unlink()
    for number in range(8):
        (root / f"new{number}").write_bytes(os.urandom(3 << 20))


@pytest.mark.parametrize(("what", "hit"), [("save", 1), ("save", 4), ("checkpoint", 2)])
@pytest.mark.parametrize("name", SAVING)
def test_save__killed(engine: Engine, name: str, hit: int, what: str) -> None:
    before, tree_before = engine.saved(), canonical(engine.root)
    change(engine.root)
    tree = canonical(engine.root)
    status, _ = engine.run(what, failpoint=name, hit=hit)
    assert hit > 1 or status == KILLED
    assert canonical(engine.root) == tree
    after = engine.saved()
    assert engine.elsewhere(after) == tree
    assert engine.elsewhere(before) == tree_before


@pytest.mark.parametrize("hit", HITS)
@pytest.mark.parametrize("name", RESTORING)
def test_restore__killed(engine: Engine, name: str, hit: int) -> None:
    point, tree = engine.saved(), canonical(engine.root)
    status, _ = engine.run("restore", point=point, failpoint=name, hit=hit)
    assert hit > 1 or status == KILLED
    assert engine.run("restore", point=point) == (0, None)
    assert canonical(engine.root) == tree
    # and what it then knows of the tree is true
    (engine.root / "plain.txt").write_text("written since")
    tree = canonical(engine.root)
    assert engine.elsewhere(engine.saved()) == tree


@pytest.mark.parametrize(
    ("name", "hit"), [*((name, 1) for name in RESTORING), *((name, 4) for name in REUSING)]
)
def test_restore_over_what_is_there__killed(engine: Engine, name: str, hit: int) -> None:
    point, tree = engine.saved(), canonical(engine.root)
    change(engine.root)
    later, tree_later = engine.saved(), canonical(engine.root)
    status, _ = engine.run("reuse", point=point, failpoint=name, hit=hit)
    assert status == KILLED or name == "restore.after_wipe"
    if status == KILLED:
        # whatever is left is nobody's: it is wiped, as by a process that finds no marker
        assert engine.run("restore", point=point) == (0, None)
    assert canonical(engine.root) == tree
    assert engine.elsewhere(later) == tree_later


def test_names__are_all_tried() -> None:
    assert sorted([*SAVING, *RESTORING, *REUSING, *LAYING]) == NAMES
    assert len(SAVING) >= 6
    assert len(RESTORING) >= 9
