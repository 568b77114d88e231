"""SIGKILL at every failpoint of the executor: the former or the new snapshot restores exactly.

The names are read from the source, so that a new failpoint is tried without being listed here.
"""

import asyncio
import hashlib
import os
import re
import signal
import sys
from contextlib import suppress
from pathlib import Path
from uuid import UUID, uuid4

import msgspec
import pytest

import executor
from contracts.executors import ExecutorPhase
from contracts.runtime_manifests import CleanupRule
from contracts.snapshots import Layer, LayerFile, SnapshotKind
from contracts.spool import RunFinishedReported, RunInterrupted, StopFailed
from executor.relay import Relay
from executor.services.agent_data import AgentHistory
from executor.spool import Spool, SpoolIdentity
from executor.workspace.index import Index
from executor.workspace.restoring import wipe
from executor.workspace.transfer import Transfer
from tests.executor.agents.driven import state_of
from tests.executor.outside import Outside
from tests.executor.running import Process, process
from tests.executor.snapshots import CHECKPOINT, Disk, disk_at
from tests.executor.trees import Line, canonical, make_odd_tree
from tests.fixtures.deadlines import eventually

SOURCE = Path(executor.__file__).parent
NAMES = sorted(
    {
        name
        for path in SOURCE.rglob("*.py")
        for name in re.findall(r'failpoint(?:_sync)?\("([a-z_.]+)"\)', path.read_text())
    }
)
RESTORING = [name for name in NAMES if name.startswith(("restore.", "activation.after_restored"))]
SPOOLING = [name for name in NAMES if name.startswith("spool.")]
ASKING = ["grant.taken"]
STOPPING = [name for name in NAMES if name.startswith("stop.")]
SIDE = [name for name in NAMES if name.startswith("side.")]
REUSING = [name for name in NAMES if name.startswith("reuse.")]
LAYING = [name for name in NAMES if name.startswith("layers.")]
CLONING = [name for name in NAMES if name.startswith("checkout.")]
"""Of a run with a repository: tried in `tests/control_plane/git/test_checkout.py`."""
IN_PLACE = ["activation.after_interrupted"]
BEFORE_COMMANDS = ["activation.before_ready", "loading.before_import"]
ELSEWHERE = {
    *RESTORING, *SPOOLING, *ASKING, *STOPPING, *SIDE, *REUSING, *LAYING, *CLONING, *IN_PLACE,
}  # fmt: skip
RUNNING = [name for name in NAMES if name not in ELSEWHERE]
"""What an ordinary run passes."""
STEPS = (
    {"write": {"path": "new.txt", "content": "new content"}},
    {"shell": "rm -rf old-dir && ln -s plain.txt new-link && printf more >> plain.txt"},
    {"text": "said"},
)


@pytest.fixture
def workspace(place: Path) -> Path:
    return place / "workspace"


@pytest.fixture
async def head(place: Path, outside: Outside, workspace: Path, relay: Relay) -> list[Line]:
    """A first snapshot is committed; the worker that made it is gone. Gives its tree."""
    await asyncio.to_thread(make_odd_tree, workspace)
    (workspace / "old-dir").mkdir()
    tree = canonical(workspace)
    first = await disk_at(place).save(Transfer(relay, epoch=1))
    outside.drafts[first.draft.id] = first.draft
    outside.head = first.draft.id
    wipe(workspace)
    return tree


async def restored(outside: Outside, snapshot_id: UUID, place: Path) -> list[Line]:
    root = place / f"oracle-{uuid4().hex}"
    root.mkdir()
    relay = Relay(place / "control", str(uuid4()))
    outside.stale = False
    disk = Disk(root, Index(place / "oracle.index"))
    await disk.restore(Transfer(relay, epoch=1), outside.point(snapshot_id))
    await relay.aclose()
    return canonical(root)


async def recovered(place: Path, outside: Outside, known: Process, spec_id: UUID) -> None:
    """After the restart in place the run ends, the way a control plane would have it."""
    await known.phase(ExecutorPhase.READY)
    ends = [
        entry
        for entry in outside.entries
        if isinstance(entry, RunFinishedReported | RunInterrupted) and entry.run_id == spec_id
    ]
    if not any(isinstance(entry, RunFinishedReported) for entry in ends):
        await known.start(*STEPS, run_id=spec_id, attempt=2)
        await known.until(
            lambda: [one for one in outside.of(RunFinishedReported) if one.run_id == spec_id]
        )
    await known.stop()
    await known.phase(ExecutorPhase.STOPPED)


@pytest.mark.parametrize("name", RUNNING)
async def test_run__killed_at_every_step(
    name: str, place: Path, outside: Outside, workspace: Path, head: list[Line]
) -> None:
    before = outside.head
    assert before
    spec_id = uuid4()
    # however long it takes, what is saved is what it leaves in the end
    later = {"checkpoint_interval_seconds": 3600.0}
    async with process(place, outside, failpoints=f"{name}=kill9", **later) as known:
        if name not in BEFORE_COMMANDS:
            await known.phase(ExecutorPhase.READY)
            await known.start(*STEPS, run_id=spec_id)
        assert await known.gone() == -9
    assert await restored(outside, before, place) == head
    if outside.head != before:
        assert outside.head
        assert await restored(outside, outside.head, place) == canonical(workspace)
    async with process(place, outside) as known:
        await recovered(place, outside, known, spec_id)
    assert outside.head
    assert await restored(outside, outside.head, place) == canonical(workspace)
    assert (workspace / "new.txt").read_text() == "new content"
    assert await restored(outside, before, place) == head


def is_over(pid: int) -> bool:
    """What is killed has no memory any more, however long it waits to be a zombie."""
    try:
        return not Path(f"/proc/{pid}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_run__killed_while_its_agent_stands_still(
    place: Path, outside: Outside, workspace: Path, head: list[Line]
) -> None:
    """What is stopped for a checkpoint does not hear that the executor is gone. Its keeper, which
    would kill it in the end, is stopped too: whoever comes next has to do it."""
    spec_id = uuid4()
    stop = "read _ _ _ keeper _ < /proc/$PPID/stat; kill -STOP $keeper; echo $PPID $keeper > pids"
    fast = {"checkpoint_interval_seconds": 0.001}
    async with process(place, outside, failpoints="save.before_scan=kill9", **fast) as known:
        await known.phase(ExecutorPhase.READY)
        await known.start({"shell": stop}, {"hang": True}, run_id=spec_id)
        assert await known.gone() == -9
    agent, keeper = map(int, (workspace / "pids").read_text().split())

    async def stands() -> bool:
        return state_of(agent) == "T"

    try:
        # it was told to, and does so when it has its turn
        await eventually(stands, "it stands still")
        async with process(place, outside) as known:
            await known.phase(ExecutorPhase.READY)
            # not even stopped: whoever goes on has the workspace for itself
            assert is_over(agent)
            await recovered(place, outside, known, spec_id)
    finally:
        with suppress(ProcessLookupError):
            os.kill(keeper, signal.SIGCONT)


@pytest.mark.parametrize("name", RESTORING)
async def test_restore__killed_at_every_step(
    name: str, place: Path, outside: Outside, workspace: Path, head: list[Line]
) -> None:
    async with process(place, outside, failpoints=f"{name}=kill9") as known:
        assert await known.gone() == -9
    async with process(place, outside) as known:
        await known.phase(ExecutorPhase.READY)
        assert canonical(workspace) == head


@pytest.mark.parametrize("name", REUSING)
async def test_reuse__killed_between_two_points(
    name: str, place: Path, outside: Outside, relay: Relay, head: list[Line]
) -> None:
    """The checkpoint is restored, its agent's state is broken, and the head goes over it."""
    assert outside.head
    disk, transfer = disk_at(place), Transfer(relay, epoch=1)
    workspace = disk.root
    await disk.restore(transfer, outside.point(outside.head))
    (workspace / "later").write_text("of the checkpoint")
    broken(workspace)
    later = await disk.save(transfer, CHECKPOINT)
    outside.drafts[later.draft.id] = later.draft
    outside.points = [outside.point(later.draft.id), outside.point(outside.head)]
    wipe(workspace)
    async with process(place, outside, failpoints=f"{name}=kill9") as known:
        assert await known.gone() == -9
    async with process(place, outside) as known:
        await known.phase(ExecutorPhase.READY)
        assert canonical(workspace) == head


def given(path: str, text: str) -> LayerFile:
    content = text.encode()
    digest = hashlib.sha256(content).hexdigest()
    return LayerFile(path=path, size=len(content), sha256=digest, text=text)


@pytest.mark.parametrize("name", LAYING)
async def test_layers__killed_at_every_step(
    name: str, place: Path, outside: Outside, workspace: Path, head: list[Line]
) -> None:
    """What lies over the tree is whole, and the tree beneath is the head's."""
    outside.laid = {
        "layers": [
            Layer(kind="seed", path="/workspace/seeds", files=[given("one", "1")]),
            Layer(kind="mount", path="/workspace/shared", files=[given("m", "3")]),
        ],
        "cleanup_rules": [CleanupRule(path="/workspace/.git", pattern="HEAD")],
        "protected_paths": ["/workspace/seeds/one"],
    }
    async with process(place, outside, failpoints=f"{name}=kill9") as known:
        assert await known.gone() == -9
    async with process(place, outside) as known:
        await known.phase(ExecutorPhase.READY)
    assert (workspace / "seeds" / "one").read_text() == "1"
    assert (workspace / "seeds" / "one").stat().st_mode & 0o222 == 0
    assert (workspace / "shared" / "m").read_text() == "3"
    after = {line[0]: line for line in canonical(workspace)}
    assert not [path for path in after if path.startswith(b".berth-restore-")]
    changed = {line[0] for line in head if after.get(line[0]) != line}
    assert changed == {b".git", b".git/HEAD"}


def broken(workspace: Path) -> None:
    """An agent's session that no longer is what it was."""
    history = AgentHistory(agent="scripted", sessions={"scripted": "gone"})
    (workspace / ".berth").mkdir()
    (workspace / ".berth" / "session.json").write_bytes(msgspec.json.encode(history))


@pytest.mark.parametrize("name", STOPPING)
async def test_stop__killed_at_every_step(
    name: str, place: Path, outside: Outside, workspace: Path, head: list[Line]
) -> None:
    async with process(place, outside, failpoints=f"{name}=kill9") as known:
        await known.phase(ExecutorPhase.READY)
        (workspace / "written").write_text("after the head")
        await known.stop()
        assert await known.gone() == -9
    async with process(place, outside) as known:
        await known.phase(ExecutorPhase.STOPPED)
    assert outside.head
    assert await restored(outside, outside.head, place) == canonical(workspace)


@pytest.mark.parametrize("name", SIDE)
async def test_side_snapshot__killed_at_every_step(
    name: str, place: Path, outside: Outside, workspace: Path, head: list[Line]
) -> None:
    async with process(place, outside, failpoints=f"{name}=kill9") as known:
        await known.phase(ExecutorPhase.READY)
        await known.start(*STEPS)
        await known.finish()
        (workspace / "late").write_text("late")
        outside.stale = True
        await known.start({"text": "unsent"})
        assert await known.gone() == -9
    async with process(place, outside) as known:
        await known.phase(ExecutorPhase.SUPERSEDED)
    assert outside.sides[-1].snapshot.type is SnapshotKind.SIDE
    assert await restored(outside, outside.sides[-1].snapshot.id, place) == canonical(workspace)


@pytest.mark.parametrize("name", IN_PLACE)
async def test_restart__killed_while_taking_over(
    name: str, place: Path, outside: Outside, head: list[Line]
) -> None:
    async with process(place, outside) as known:
        await known.phase(ExecutorPhase.READY)
        spec = await known.start({"text": "begun"}, {"hang": True})
        await known.text("begun")
        known.kill()
        await known.gone()
    async with process(place, outside, failpoints=f"{name}=kill9") as known:
        assert await known.gone() == -9
    async with process(place, outside) as known:
        await known.phase(ExecutorPhase.READY)
    told = outside.of(RunInterrupted)
    assert {entry.run_id for entry in told} == {spec.run_id}


WRITER = """
import asyncio, datetime, os, signal, sys
from pathlib import Path
from uuid import UUID
from chassis.failpoints import arm
from contracts.spool import StopFailed
from executor.services.agent_data import AgentHistory
from executor.spool import Spool, SpoolIdentity
left = int(sys.argv[3])
def action():
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
arm(sys.argv[2], action)
async def main():
    owner = SpoolIdentity(worker_id=UUID(int=1), epoch=1, boot_id="boot")
    spool = await Spool.open(Path(sys.argv[1]), owner, max_bytes=1 << 30)
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    for n in range(12):
        seq = await spool.append(StopFailed(seq=0, at=now, reason=f"{n} " + "x" * 40_000))
        os.write(1, f"spooled {seq}\\n".encode())
        if n % 3 == 2:
            await spool.acknowledge(seq - 1)
            os.write(1, f"acked {seq - 1}\\n".encode())
    await spool.acknowledge(12)
asyncio.run(main())
"""


@pytest.mark.parametrize("hit", [1, 2, 4])
@pytest.mark.parametrize("name", SPOOLING)
async def test_spool__killed_at_every_step(name: str, hit: int, place: Path) -> None:
    directory = place / "spool"
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(directory), name, str(hit), stdout=-1
    )
    output, _ = await writer.communicate()
    said = [line.split() for line in output.decode().splitlines()]
    spooled = max((int(seq) for word, seq in said if word == "spooled"), default=0)
    acked = max((int(seq) for word, seq in said if word == "acked"), default=0)
    owner = SpoolIdentity(worker_id=UUID(int=1), epoch=1, boot_id="boot")
    spool = await Spool.open(directory, owner, max_bytes=1 << 30)
    found = await spool.read(spool.acked, entries=100, size=1 << 30)
    assert spool.acked >= acked
    assert spool.last >= spooled
    assert [seq for seq, _ in found] == list(range(spool.acked + 1, spool.last + 1))
    reasons = [(seq, entry.reason) for seq, entry in found if isinstance(entry, StopFailed)]
    assert len(reasons) == len(found)
    assert all(reason.startswith(f"{seq - 1} ") for seq, reason in reasons)
    await spool.close()
    if writer.returncode == 0:
        assert (spooled, acked) == (12, 11)
    else:
        assert writer.returncode == -9


def test_names__are_all_tried() -> None:
    assert len(NAMES) >= 25
    assert sorted([*ELSEWHERE, *RUNNING]) == NAMES
    # what is in no other group is what an ordinary run passes
    assert {name.partition(".")[0] for name in RUNNING} == {
        "activation", "finish", "loading", "run", "save",
    }  # fmt: skip
