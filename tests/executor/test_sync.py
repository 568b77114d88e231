"""A worker that is asked to save does so and goes on."""

from pathlib import Path

from chassis.ids import new_id
from contracts.commands import SyncWorker
from contracts.executors import ExecutorPhase
from contracts.snapshots import SnapshotKind
from contracts.spool import SnapshotCommitted
from tests.executor.outside import Outside
from tests.executor.running import running


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
        command = SyncWorker(id=new_id())
        assert await executor.deliver(command) == [command.id]
        assert (await executor.status()).phase is ExecutorPhase.READY
        await executor.start({"text": "still here"})
        await executor.finish(2)
    saved = [one.snapshot.id for one in outside.of(SnapshotCommitted)]
    assert saved[0] == finish.snapshot_id
    assert len(saved) == 2, "one of each run"
