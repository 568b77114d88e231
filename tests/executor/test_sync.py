"""A worker that is asked to save does so and goes on."""

from pathlib import Path

import httpx

from chassis.failpoints import arm
from chassis.ids import new_id
from contracts.commands import SyncWorker
from contracts.executors import ExecutorPhase
from contracts.snapshots import SnapshotKind
from contracts.spool import SnapshotCommitted
from tests.executor.outside import Outside
from tests.executor.running import DEADLINE, running
from tests.fixtures.barriers import Barrier


async def test_sync__of_a_run_is_a_checkpoint(place: Path, outside: Outside) -> None:
    async with running(place, outside, checkpoint_interval_seconds=0.0) as executor:
        spec = await executor.start({"text": "begun"}, {"hang": True})
        await executor.text("begun")
        assert outside.of(SnapshotCommitted) == []
        (place / "workspace" / "late").write_text("1")
        command = SyncWorker(id=new_id())
        assert await executor.deliver(command) == [command.id]
        saved = await executor.entry(SnapshotCommitted)
        assert (saved.snapshot.type, saved.run_id) == (SnapshotKind.CHECKPOINT, spec.run_id)
        assert saved.snapshot.files > 0
        assert outside.head is None
        assert (await executor.status()).phase is ExecutorPhase.BUSY


async def test_sync__with_nothing_to_save_changes_nothing(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        await executor.start({"write": {"path": "f", "content": "1"}})
        finish = await executor.finish()
        await executor.phase(ExecutorPhase.READY)
        command = SyncWorker(id=new_id())
        assert await executor.deliver(command) == [command.id]
        assert (await executor.status()).phase is ExecutorPhase.READY
        await executor.start({"text": "still here"})
        await executor.finish(2)
    saved = [one.snapshot.id for one in outside.of(SnapshotCommitted)]
    assert saved[0] == finish.snapshot_id
    assert len(saved) == 2, "one of each run"


async def test_sync__does_not_wait_for_the_rest_between_two_saves(
    place: Path, outside: Outside
) -> None:
    """What was written while one was made is saved a minute later by itself."""
    barrier = Barrier()
    async with running(place, outside) as executor:
        await executor.start({"text": "x"})
        await executor.finish()
        await executor.phase(ExecutorPhase.READY)
        arm("save.before_commit", barrier.action)
        assert (await put(place, "one", b"1")).status_code == 201
        await executor.deliver(SyncWorker(id=new_id()))
        await barrier.reached()
        assert (await put(place, "two", b"2")).status_code == 201
        barrier.release()
        second = await executor.entry(SnapshotCommitted, 2)
        await executor.deliver(SyncWorker(id=new_id()))
        third = await executor.entry(SnapshotCommitted, 3)
    assert third.snapshot.files == second.snapshot.files + 1


async def put(place: Path, path: str, content: bytes) -> httpx.Response:
    transport = httpx.AsyncHTTPTransport(uds=str(place / "control" / "executor.sock"))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://executor", timeout=DEADLINE
    ) as http:
        return await http.put("/workspace/file", params={"path": path}, content=content)
