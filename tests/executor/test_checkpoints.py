"""When a run is saved on its way: what a lost worker's successor begins with."""

from pathlib import Path

from contracts.snapshots import SnapshotKind
from contracts.spool import SnapshotCommitted
from tests.executor.outside import Outside
from tests.executor.running import running


async def test_checkpoint__of_a_tool_that_ended_too_soon_comes_when_it_is_due(
    place: Path, outside: Outside
) -> None:
    async with running(place, outside, checkpoint_interval_seconds=1.0) as executor:
        await executor.start({"write": {"path": "early", "content": "1"}}, {"hang": True})
        checkpoint = await executor.entry(SnapshotCommitted)
    assert checkpoint.snapshot.type is SnapshotKind.CHECKPOINT
    kinds = [event["kind"] for event in outside.events()]
    assert "tool.result" in kinds
    assert "message.stop" not in kinds
