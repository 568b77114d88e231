"""The worker's life around its runs: activation, fall-back, stop, superseding, outage, unsaved."""

import asyncio
import shutil
from pathlib import Path

import msgspec
import pytest
import zstandard

from chassis.errors import CallFailed
from chassis.failpoints import arm
from chassis.ids import new_id
from chassis.telemetry import configure_tracing
from contracts.commands import RemoveWorker, StartRun
from contracts.errors import Code
from contracts.executors import ExecutorPhase
from contracts.reasons import Reason
from contracts.snapshots import SnapshotKind
from contracts.spool import (
    AnyEntry,
    RunFinishedReported,
    RunInterrupted,
    SnapshotCommitted,
    StopFailed,
    WorkerStoppedReported,
)
from executor.services.leftovers import _agents_of
from tests.executor.outside import Outside
from tests.executor.running import DEADLINE, process, run_spec, running
from tests.executor.trees import canonical
from tests.fixtures.barriers import Barrier


@pytest.fixture
def workspace(place: Path) -> Path:
    return place / "workspace"


def renewed(place: Path, outside: Outside) -> None:
    """A new worker: directories of its own, its first seq."""
    for name in ("workspace", "spool", "home"):
        shutil.rmtree(place / name)
        (place / name).mkdir(mode=0o700)
    outside.last_seq = 0
    outside.entries.clear()


def steps(outside: Outside) -> list[tuple[str, str, str]]:
    told = outside.events("worker.step")
    return [(e["step"], e.get("outcome", "done"), e.get("reason", "")) for e in told]


async def test_activation__waits_for_a_control_plane_that_is_away(
    place: Path, outside: Outside
) -> None:
    outside.down = True
    async with running(place, outside, ready=False) as executor:
        await executor.phase(ExecutorPhase.RESTORING)
        spec = run_spec({"text": "x"})
        command = StartRun(id=new_id(), run=spec)
        outside.fail_next("restore", 401, 503)
        outside.down = False
        await executor.phase(ExecutorPhase.READY)
        await executor.deliver_surely(command)
        await executor.finish()
    assert steps(outside)[:4] == [
        ("link", "done", ""),
        ("restore", "done", ""),
        ("validate", "done", ""),
        ("ready", "done", ""),
    ]


async def test_activation__falls_back_from_a_broken_checkpoint_to_the_head(
    place: Path, outside: Outside, workspace: Path
) -> None:
    async with running(place, outside, checkpoint_interval_seconds=0.0) as executor:
        await executor.start({"write": {"path": "a", "content": "head"}})
        await executor.finish()
        head = canonical(workspace)
        head_id = outside.head
        await executor.start(
            {"write": {"path": "b", "content": "later"}},
            {"write": {"path": "c", "content": "x"}, "ask": True},
        )
        await executor.until(
            lambda: [
                one
                for one in outside.of(SnapshotCommitted)
                if one.snapshot.type is SnapshotKind.CHECKPOINT and one.snapshot.parent == head_id
            ]
        )
    assert head_id
    checkpoint = outside.of(SnapshotCommitted)[-1].snapshot
    renewed(place, outside)
    outside.points = [outside.point(checkpoint.id), outside.point(head_id)]
    async with running(place, outside, epoch=2):
        assert (workspace / "b").read_text() == "later"
    renewed(place, outside)
    outside.corrupt = {checkpoint.manifest_key}
    async with running(place, outside, epoch=3):
        assert canonical(workspace) == head
    renewed(place, outside)
    outside.corrupt = {one.manifest.key for one in outside.points}
    async with running(place, outside, ready=False, epoch=4) as executor:
        failed = await executor.phase(ExecutorPhase.FAILED)
    assert failed.reason == "restore_failed"


async def test_activation__somebody_elses_files_are_not_wiped(
    place: Path, outside: Outside, workspace: Path
) -> None:
    (workspace / "precious").write_text("precious")
    async with running(place, outside, ready=False) as executor:
        failed = await executor.phase(ExecutorPhase.FAILED)
        await executor.until(lambda: ("restore", "failed", "workspace_not_empty") in steps(outside))
    assert failed.reason == "workspace_not_empty"
    assert (workspace / "precious").exists()


async def test_spool__of_another_epoch_is_refused_and_said(place: Path, outside: Outside) -> None:
    async with running(place, outside):
        pass
    async with running(place, outside, ready=False, epoch=2) as executor:
        failed = await executor.phase(ExecutorPhase.FAILED)
        assert failed.reason == "spool_other_epoch"
        assert await executor.deliver(RemoveWorker(id=new_id())) == []


async def test_deliver__of_another_epoch_is_refused(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        executor.epoch = 2
        with pytest.raises(CallFailed) as refused:
            await executor.start({"text": "x"})
    assert refused.value.code == Code.STALE_EPOCH


async def test_stop__saves_what_was_written_last_and_is_over_when_taken(
    place: Path, outside: Outside, workspace: Path
) -> None:
    async with running(place, outside) as executor:
        await executor.start({"text": "x"})
        await executor.finish()
        (workspace / "canary").write_text("written just before the stop")
        outside.down = True
        await executor.stop()
        outside.down = False
        stopped = await executor.entry(WorkerStoppedReported)
        await executor.phase(ExecutorPhase.STOPPED)
    assert stopped.snapshot_id == outside.head
    assert ("save", "done", "") in steps(outside)
    before = canonical(workspace)
    renewed(place, outside)
    async with running(place, outside, epoch=2) as executor:
        assert canonical(workspace) == before
        await executor.stop()
        await executor.phase(ExecutorPhase.STOPPED)
        # nothing was written: no snapshot for it
        assert not outside.of(SnapshotCommitted)
        assert outside.of(WorkerStoppedReported)[0].snapshot_id == outside.head


async def test_stop__a_failing_save_leaves_the_worker_idle(
    place: Path, outside: Outside, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.workspace.transfer.ATTEMPTS", 2)
    async with running(place, outside) as executor:
        (workspace / "written").write_text("x")
        outside.fail_next("put", 503, 503)
        await executor.stop()
        await executor.entry(StopFailed)
        await executor.phase(ExecutorPhase.READY)
        await executor.start({"text": "still works"})
        assert (await executor.finish()).state == "succeeded"
        await executor.stop()
        await executor.phase(ExecutorPhase.STOPPED)


async def test_stop__a_refused_report_goes_on_with_the_run_that_came(
    place: Path, outside: Outside
) -> None:
    outside.refuse = {"stopped": Code.SESSION_BUSY}
    async with running(place, outside) as executor:
        barrier = Barrier()
        arm("stop.before_report", barrier.action)
        await executor.stop()
        await barrier.reached()
        await executor.start({"text": "came in between"})
        barrier.release()
        assert (await executor.finish()).state == "succeeded"


async def test_supersede__saves_tree_and_spool_aside(
    place: Path, outside: Outside, workspace: Path
) -> None:
    async with running(place, outside) as executor:
        await executor.start(
            {"write": {"path": "f", "content": "late"}}, {"text": "begun"}, {"hang": "deaf"}
        )
        await executor.text("begun")
        outside.fail_next("callbacks", *[503] * 1000)
        await executor.supersede()
        await executor.phase(ExecutorPhase.SUPERSEDED)
        outside.stale = True
        after = canonical(workspace)
    side = outside.sides[-1]
    assert side.snapshot.type is SnapshotKind.SIDE
    assert not outside.of(RunFinishedReported)
    assert (workspace / "f").read_text() == "late"
    assert after == canonical(workspace)
    if side.spool_key:
        content = await outside.objects.get(side.spool_key)
        lines = zstandard.ZstdDecompressor().decompressobj().decompress(content).splitlines()
        entries = [msgspec.json.decode(line, type=AnyEntry) for line in lines]
        assert entries[0].seq == outside.last_seq + 1


async def test_supersede__by_the_control_planes_answer(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        await executor.start({"text": "begun"}, {"text": "x" * 900, "chunks": 900, "delay": 0.02})
        await executor.text("begun")
        outside.stale = True
        await executor.phase(ExecutorPhase.SUPERSEDED)
    assert outside.sides


async def test_supersede__with_nothing_to_save_saves_nothing(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        await executor.until(lambda: ("ready", "done", "") in steps(outside))
        await executor.supersede()
        await executor.phase(ExecutorPhase.SUPERSEDED)
    assert not outside.sides


async def test_disowned__a_refused_report_ends_the_agent_without_another_word(
    place: Path, outside: Outside
) -> None:
    async with running(place, outside) as executor:
        spec = await executor.start({"text": "x" * 500, "chunks": 500, "delay": 0.02})
        await executor.text("x")
        outside.refuse = {"event": Code.STALE_ATTEMPT}
        await executor.phase(ExecutorPhase.READY)
        outside.refuse = {}
        await executor.start({"text": "next"})
        finish = await executor.finish()
    assert finish.run_id != spec.run_id
    assert not [e for e in outside.of(RunInterrupted) if e.run_id == spec.run_id]


async def test_outage__ends_the_agent_and_tells_when_contact_is_back(
    place: Path, outside: Outside
) -> None:
    async with running(place, outside, outage_grace_seconds=0.2) as executor:
        spec = await executor.start(
            {"text": "begun"}, {"text": "x" * 900, "chunks": 900, "delay": 0.02},
            save_deadline_seconds=0.1,
        )  # fmt: skip
        await executor.text("begun")
        outside.down = True
        await executor.phase(ExecutorPhase.READY)
        outside.down = False
        interrupted = await executor.entry(RunInterrupted)
    assert (interrupted.run_id, interrupted.reason) == (spec.run_id, Reason.EXECUTOR_INTERRUPTED)


async def test_finish__unsaved_is_told_and_saved_afterwards(
    place: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.services.runs.runs.SAVE_PAUSE", 0.0)
    monkeypatch.setattr("executor.workspace.transfer.pause", lambda _attempt: 0.1)
    async with running(place, outside) as executor:
        outside.fail_next("put", *[503] * 1000)
        await executor.start({"text": "x"}, save_deadline_seconds=0.5)
        finish = await executor.finish()
        assert (finish.state, finish.unsaved, finish.snapshot_id) == ("succeeded", True, None)
        outside.faults.clear()
        await executor.entry(SnapshotCommitted)
    assert outside.head


async def test_cancel__while_a_finished_turn_is_saved_changes_nothing(
    place: Path, outside: Outside
) -> None:
    barrier = Barrier()
    arm("save.before_commit", barrier.action)
    async with running(place, outside) as executor:
        spec = await executor.start({"text": "x"})
        await barrier.reached()
        await executor.cancel(spec)
        barrier.release()
        finish = await executor.finish()
    assert finish.state == "succeeded"


async def test_cancel__before_the_agent_starts(place: Path, outside: Outside) -> None:
    barrier = Barrier()
    arm("run.before_agent_start", barrier.action)
    async with running(place, outside) as executor:
        spec = await executor.start({"text": "x"})
        await barrier.reached()
        await executor.cancel(spec)
        finish = await executor.finish()
    assert finish.state == "canceled"
    assert not outside.events("message.delta")


async def test_head_moved__is_asked_for_and_saved_again(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        outside.refuse = {"snapshot": Code.HEAD_MOVED}
        await executor.start({"text": "x"})
        await executor.finish()
        outside.refuse = {}
        await executor.entry(SnapshotCommitted)
    assert outside.calls["restore"] >= 2
    assert outside.head


async def test_agent__may_not_lead_us_out_of_the_workspace(
    place: Path, outside: Outside, workspace: Path
) -> None:
    elsewhere = place / "elsewhere"
    elsewhere.mkdir()
    async with running(place, outside) as executor:
        await executor.start(
            {"shell": f"rm -rf .berth; ln -s {elsewhere} .berth"}, {"text": "done"}
        )
        await executor.finish()
        await executor.start({"text": "again"})
        assert (await executor.finish(2)).state == "succeeded"
    assert not list(elsewhere.iterdir())
    assert (workspace / ".berth").is_dir()


async def test_trace__continues_the_runs(place: Path, outside: Outside) -> None:
    configure_tracing("executor", "none")
    trace = "0af7651916cd43dd8448eb211c80319c"
    async with running(place, outside) as executor:
        await executor.start({"text": "x"}, traceparent=f"00-{trace}-b7ad6b7169203331-01")
        finish = await executor.finish()
    assert finish.trace_id == trace
    assert {entry.trace_id for entry in outside.entries if hasattr(entry, "run_id")} >= {trace}


async def test_kill9__of_the_executor_mid_run_loses_no_spooled_event(
    place: Path, outside: Outside
) -> None:
    async with process(place, outside) as executor:
        await executor.phase(ExecutorPhase.READY)
        spec = await executor.start(
            {"text": "begun"}, {"text": "y" * 900, "chunks": 900, "delay": 0.02}
        )
        await executor.text("begun")
        outside.down = True
        asked = outside.calls["callbacks"]
        # it has heard the answer to the report before: what it has spooled nobody else has
        await outside.until(lambda: outside.calls["callbacks"] > asked)
        status = await executor.status()
        async with asyncio.timeout(DEADLINE):
            while status.spooled < 3:
                await asyncio.sleep(0.02)
                status = await executor.status()
        spooled = status.spooled
        at = outside.last_seq
        executor.kill()
        await executor.gone()
    outside.down = False
    async with process(place, outside) as executor:
        await executor.entry(RunInterrupted)
        # no process of the former agent is left to write beside the next attempt
        assert not _agents_of(place / "home")
    interrupted = outside.of(RunInterrupted)[0]
    assert interrupted.run_id == spec.run_id
    assert interrupted.seq > at + spooled
    assert [entry.seq for entry in outside.entries] == list(range(1, outside.last_seq + 1))
