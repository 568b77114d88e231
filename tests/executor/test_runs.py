"""Whole runs of the scripted agent, on a real object store: events, asks, ends, saves, resumes."""

from pathlib import Path
from typing import Any

import pytest

from chassis.ids import new_id
from contracts.commands import Answer, StartRun
from contracts.executors import ExecutorPhase
from contracts.reasons import Reason
from contracts.runs import RunLimits
from contracts.snapshots import SnapshotKind
from contracts.spool import (
    Asked,
    AskWithdrawn,
    RunFinishedReported,
    RunInterrupted,
    RunParkedReported,
    RunStartedReported,
    SnapshotCommitted,
    TakeGrant,
)
from tests.executor.outside import Outside
from tests.executor.running import process, running
from tests.executor.trees import canonical


@pytest.fixture
def workspace(place: Path) -> Path:
    return place / "workspace"


async def test_run__events_file_and_finish_with_its_snapshot(
    place: Path, outside: Outside, workspace: Path
) -> None:
    async with running(place, outside) as executor:
        spec = await executor.start(
            {"text": "hello"},
            {"plan": [{"content": "write", "status": "completed"}]},
            {"write": {"path": "file.txt", "content": "content"}},
            {"usage": {"input": 3, "output": 4}},
            {"text": "done"},
        )
        finish = await executor.finish()
    assert (finish.state, finish.reason) == ("succeeded", Reason.COMPLETED)
    assert finish.run_id == spec.run_id
    assert finish.snapshot_id == outside.head
    assert "done" in finish.output
    started = outside.of(RunStartedReported)[0]
    assert started.resume == "fresh"
    assert started.resume_reason
    kinds = {event["kind"] for event in outside.events()}
    assert {"message.delta", "message.stop", "tool.call", "todo.update"} <= kinds
    assert (workspace / "file.txt").read_text() == "content"
    assert [entry.seq for entry in outside.entries] == list(range(1, outside.last_seq + 1))


async def test_run__resumes_natively_in_a_new_worker_with_its_files(
    place: Path, outside: Outside, workspace: Path, tmp_path: Path
) -> None:
    async with running(place, outside) as executor:
        await executor.start(
            {"remember": {"key": "nonce", "value": "4711"}},
            {"write": {"path": "kept", "content": "kept"}},
        )
        await executor.finish()
    before = canonical(workspace)
    outside.last_seq = 0
    for name in ("workspace", "spool", "home"):
        (place / name).rename(tmp_path / name)
        (place / name).mkdir(mode=0o700)
    async with running(place, outside, epoch=2) as executor:
        assert canonical(workspace) == before
        await executor.start({"recall": "nonce"}, has_history=True)
        finish = await executor.finish(2)
    assert outside.of(RunStartedReported)[1].resume == "native"
    assert "4711" in finish.output


async def test_permission__waits_for_the_taken_answer(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        await executor.start(
            {"write": {"path": "asked.txt", "content": "yes"}, "ask": True}, {"text": "after"}
        )
        asked = await executor.entry(Asked)
        assert asked.kind == "permission"
        assert len(asked.input_hash) == 64
        assert not (place / "workspace" / "asked.txt").exists()
        outside.fail_next("take", 503, "lost")
        request_id = await executor.answer(asked, "allow_once")
        finish = await executor.finish()
    assert finish.state == "succeeded"
    assert (place / "workspace" / "asked.txt").read_text() == "yes"
    assert outside.taken[request_id].ask_id == asked.ask_id


async def test_permission__refused_by_a_person(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        await executor.start({"write": {"path": "asked.txt", "content": "yes"}, "ask": True})
        await executor.answer(await executor.entry(Asked), "reject_once")
        await executor.finish()
    assert not (place / "workspace" / "asked.txt").exists()


async def test_question__is_answered_with_text(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        await executor.start({"ask_user": "which colour?"})
        asked = await executor.entry(Asked)
        assert asked.kind == "question"
        await executor.answer(asked, text="green")
        finish = await executor.finish()
    assert "green" in finish.output


async def test_permission__a_grant_taken_elsewhere_is_asked_again(
    place: Path, outside: Outside
) -> None:
    async with running(place, outside) as executor:
        await executor.start({"write": {"path": "asked.txt", "content": "yes"}, "ask": True})
        first = await executor.entry(Asked)
        request_id = new_id()
        outside.taken[request_id] = TakeGrant(epoch=1, attempt=1, ask_id=new_id())
        await executor.tell_answer(first, request_id)
        second = await executor.entry(Asked, 2)
        assert not (place / "workspace" / "asked.txt").exists()
        await executor.answer(second, "allow_once")
        finish = await executor.finish()
    assert finish.state == "succeeded"
    assert second.ask_id != first.ask_id
    assert second.input_hash == first.input_hash
    assert [one["code"] for one in outside.events("run.warning")] == ["grant_already_taken"]


async def test_permission__killed_with_the_grant_taken_asks_again(
    place: Path, outside: Outside
) -> None:
    async with process(place, outside, failpoints="grant.taken=kill9") as executor:
        await executor.phase(ExecutorPhase.READY)
        spec = await executor.start({"write": {"path": "f", "content": "c"}, "ask": True})
        request_id = await executor.answer(await executor.entry(Asked), "allow_once")
        assert await executor.gone() == -9
        assert request_id in outside.taken
    async with process(place, outside) as executor:
        await executor.entry(RunInterrupted)
        await executor.start(run_id=spec.run_id, attempt=2, prompt=spec.prompt, has_history=True)
        again = await executor.entry(Asked, 2)
        # the former grant is of no use to this ask
        await executor.tell_answer(again, request_id)
        third = await executor.entry(Asked, 3)
        assert not (place / "workspace" / "f").exists()
        await executor.answer(third, "allow_once")
        assert (await executor.finish()).state == "succeeded"


@pytest.mark.parametrize("moment", ["streaming", "shell", "asking", "hanging"])
async def test_cancel__in_any_moment_ends_in_one_finish(
    place: Path, outside: Outside, moment: str
) -> None:
    steps = {
        "streaming": {"text": "x" * 2000, "chunks": 2000, "delay": 0.01},
        "shell": {"shell": "sleep 60"},
        "asking": {"write": {"path": "f", "content": "c"}, "ask": True},
        "hanging": {"hang": "deaf"},
    }
    async with running(place, outside) as executor:
        spec = await executor.start({"text": "begun"}, steps[moment], {"text": "never"})
        await executor.text("begun")
        if moment == "asking":
            await executor.entry(Asked)
        await executor.cancel(spec)
        await executor.cancel(spec)
        finish = await executor.finish()
        await executor.phase(ExecutorPhase.READY)
    assert (finish.state, finish.reason) == ("canceled", Reason.CANCELED)
    assert finish.snapshot_id == outside.head
    assert len(outside.of(type(finish))) == 1


async def test_start__repeated_is_ignored(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        spec = await executor.start({"text": "once"})
        for _ in range(2):
            command = StartRun(id=new_id(), run=spec)
            assert await executor.deliver(command) == [command.id]
        await executor.finish()
        await executor.deliver(StartRun(id=new_id(), run=spec))
        other = await executor.start({"text": "other"})
        await executor.until(
            lambda: [one for one in outside.of(RunFinishedReported) if one.run_id == other.run_id]
        )
    started = [entry.run_id for entry in outside.of(RunStartedReported)]
    assert started == [spec.run_id, other.run_id]


async def test_start__an_unknown_agent_is_blocked(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        await executor.start({"text": "x"}, agent="nobody")
        finish = await executor.finish()
    assert (finish.state, finish.reason) == ("blocked", Reason.AGENT_MISSING)
    assert not finish.retryable


async def test_start__missing_required_paths_block(place: Path, outside: Outside) -> None:
    outside.required_paths = ["/workspace/needed"]
    async with running(place, outside) as executor:
        await executor.start({"text": "x"})
        finish = await executor.finish()
    assert (finish.state, finish.reason) == ("blocked", Reason.REQUIRED_PATHS_MISSING)
    assert finish.detail == "/workspace/needed"


async def test_agent__a_crash_is_retryable_and_the_next_attempt_continues(
    place: Path, outside: Outside
) -> None:
    async with running(place, outside) as executor:
        spec = await executor.start({"text": "first"}, {"crash": 3}, {"text": "second"})
        finish = await executor.finish()
        assert (finish.state, finish.retryable) == ("failed", True)
        assert finish.reason is Reason.AGENT_CRASHED
        answers = [Answer(title="may I", option_kind="allow_once")]
        await executor.start(
            run_id=spec.run_id, attempt=2, prompt=spec.prompt, answers=answers, has_history=True
        )
        again = await executor.finish(2)
    assert outside.of(RunStartedReported)[1].resume == "native"
    assert again.state == "succeeded"
    said = [event["text"] for event in outside.events("message.stop")]
    assert sum("first" in text for text in said) == 1
    assert any("second" in text for text in said)


@pytest.mark.parametrize(
    ("step", "limits", "reason"),
    [
        ({"hang": "deaf"}, RunLimits(silence_seconds=1), Reason.AGENT_SILENT),
        (
            {"text": "x" * 100, "chunks": 100, "delay": 0.1},
            RunLimits(max_duration_seconds=1),
            Reason.DURATION_LIMIT,
        ),
    ],
)
async def test_limits__end_the_attempt(
    place: Path, outside: Outside, step: dict[str, Any], limits: RunLimits, reason: Reason
) -> None:
    async with running(place, outside) as executor:
        await executor.start(step, limits=limits)
        finish = await executor.finish()
    assert (finish.state, finish.reason) == ("failed", reason)
    assert finish.retryable
    assert finish.snapshot_id == outside.head


async def test_park__saves_and_leaves_the_ask_open(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        spec = await executor.start(
            {"text": "begun"}, {"write": {"path": "f", "content": "c"}, "ask": True}
        )
        await executor.entry(Asked)
        await executor.park(spec)
        parked = await executor.entry(RunParkedReported)
        await executor.phase(ExecutorPhase.READY)
        assert parked.snapshot_id == outside.head
        assert not outside.of(AskWithdrawn)
        await executor.start(run_id=spec.run_id, attempt=2, prompt=spec.prompt, has_history=True)
        again = await executor.entry(Asked, 2)
        assert again.input_hash == outside.of(Asked)[0].input_hash
        await executor.answer(again, "allow_once")
        finish = await executor.finish()
    assert finish.state == "succeeded"
    assert (place / "workspace" / "f").read_text() == "c"


async def test_interrupt__saves_and_gives_the_run_back(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        spec = await executor.start({"text": "begun"}, {"hang": True})
        await executor.text("begun")
        await executor.interrupt(spec)
        interrupted = await executor.entry(RunInterrupted)
        assert interrupted.reason is Reason.DRAINED
    assert outside.of(SnapshotCommitted)[-1].snapshot.id == outside.head


async def test_checkpoint__during_an_ask_never_moves_the_head(
    place: Path, outside: Outside
) -> None:
    async with running(place, outside, checkpoint_interval_seconds=0.0) as executor:
        await executor.start(
            {"write": {"path": "early", "content": "1"}},
            {"text": "said"},
            {"write": {"path": "f", "content": "c"}, "ask": True},
        )
        asked = await executor.entry(Asked)
        first = await executor.entry(SnapshotCommitted)
        assert first.snapshot.type is SnapshotKind.CHECKPOINT
        assert outside.head is None
        await executor.answer(asked, "allow_once")
        finish = await executor.finish()
    assert finish.snapshot_id == outside.head


async def test_process__sigterm_leaves_no_agent_and_keeps_the_spool(
    place: Path, outside: Outside
) -> None:
    async with process(place, outside) as executor:
        await executor.phase(ExecutorPhase.READY)
        spec = await executor.start(
            {"text": "begun"}, {"shell": "sleep 77", "detach": True}, {"hang": "deaf"}
        )
        await executor.text("begun")
        executor.process.terminate()
        assert await executor.gone() == 0
    async with process(place, outside) as executor:
        interrupted = await executor.entry(RunInterrupted)
        assert interrupted.run_id == spec.run_id
        await executor.phase(ExecutorPhase.READY)
