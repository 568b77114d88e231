"""What a save refers to, and what it tells of what it left out."""

from pathlib import Path

from contracts.errors import Code
from contracts.spool import SnapshotCommitted
from tests.executor.outside import Outside
from tests.executor.running import running


async def test_refused__nothing_refers_to_a_refused_snapshots_packs(
    place: Path, outside: Outside
) -> None:
    async with running(place, outside) as executor:
        outside.refuse = {"snapshot": Code.HEAD_MOVED}
        await executor.start({"text": "x"})
        await executor.finish()
        outside.refuse = {}
        await executor.entry(SnapshotCommitted)
        saves = outside.calls["restore"]
    # each asked for the head, and stored its packs again, not only a manifest that refers to them
    assert saves > 1
    assert outside.calls["put"] == 2 * saves


async def test_skipped__is_told_once_for_each_run(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        await executor.start({"shell": "for n in $(seq 12); do mkfifo f$n; done"})
        await executor.finish()
    told = outside.events("run.warning")
    assert [warning["code"] for warning in told] == ["files_skipped"]
    assert told[0]["detail"].startswith("12 not in the snapshot: f1 (fifo), f10 (fifo)")
    assert told[0]["detail"].endswith("…")
