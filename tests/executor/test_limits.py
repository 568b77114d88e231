"""Limits as the executor meets them: a full disk, one that nobody but it holds, memory."""

import os
from pathlib import Path
from typing import Any

import pytest

from contracts.executors import ENDED_FILE, ExecutorPhase
from contracts.reasons import Reason
from contracts.spool import RunInterrupted
from executor.services import former_end
from executor.services.runs import disk_watch, memory
from executor.services.runs.disk_watch import is_over
from executor.services.runs.memory import kills
from tests.executor.outside import Outside
from tests.executor.running import process, running
from tests.executor.trees import canonical
from tests.fixtures.guards import perhaps_without, replaced
from tests.fixtures.small_disk import small_disk

MIB = 1024 * 1024


def test_measured__in_bytes_on_disk_and_each_file_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_bytes(os.urandom(MIB))
    (tmp_path / "same").hardlink_to(tmp_path / "one")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(1024 * MIB)
    assert not is_over(tmp_path, 2 * MIB, 1000)
    (tmp_path / "two").write_bytes(os.urandom(MIB))
    assert is_over(tmp_path, 2 * MIB - 1, 1000)


def test_measured__entries_count_too(tmp_path: Path) -> None:
    for number in range(11):
        (tmp_path / str(number)).touch()
    assert not is_over(tmp_path, MIB, 11)
    assert is_over(tmp_path, MIB, 10)


@pytest.mark.parametrize("guarded", [True, False])
async def test_over_the_limit__the_run_ends_and_all_of_it_is_saved(
    place: Path, outside: Outside, *, guarded: bool
) -> None:
    never = replaced(disk_watch, "is_over", lambda *_: False)
    with perhaps_without(never, guarded=guarded):
        async with running(place, outside, disk_bytes=4 * MIB, disk_look_seconds=0.05) as executor:
            spec = await executor.start(
                {"shell": "head -c 8M /dev/urandom > filler"}, {"text": "on"}, {"sleep": 60}
            )
            if not guarded:
                await executor.text("on")
                await executor.cancel(spec)
            finish = await executor.finish()
    if not guarded:
        assert finish.reason is Reason.CANCELED
        return
    assert (finish.state, finish.reason) == ("failed", Reason.DISK_FULL)
    assert not finish.unsaved
    assert finish.snapshot_id == outside.head
    assert 4 * MIB <= (place / "workspace" / "filler").stat().st_size <= 8 * MIB


async def test_cancel__counts_more_than_the_disk(place: Path, outside: Outside) -> None:
    async with running(place, outside, disk_bytes=MIB, disk_look_seconds=0.05) as executor:
        spec = await executor.start({"sleep": 60})
        await executor.cancel(spec)
        assert (await executor.finish()).reason is Reason.CANCELED


@pytest.mark.root
async def test_full_disk__is_the_tools_error_and_the_work_is_saved(
    place: Path, outside: Outside, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "image", place / "workspace"):
        async with running(place, outside) as executor:
            await executor.start(
                {"write": {"path": "kept", "content": "kept"}},
                {"shell": "head -c 64M /dev/zero > filler; echo status $?"},
                {"text": "done"},
            )
            finish = await executor.finish()
            assert (finish.state, finish.reason) == ("succeeded", Reason.COMPLETED)
            assert not finish.unsaved
            assert "No space left" in str(outside.events("tool.result"))
            # full as it is, it goes on: what it says is outside of the disk
            await executor.start({"text": "again"})
            second = await executor.finish(2)
            assert second.state in {"succeeded", "blocked"}, second
            await executor.stop()
            await executor.phase(ExecutorPhase.STOPPED)
        tree = canonical(place / "workspace")
    assert any("filler" in str(line) for line in tree)
    assert outside.head is not None


@pytest.mark.root
@pytest.mark.parametrize("inodes", [1024, 64])
async def test_restore_into_too_small_a_disk__says_so_and_leaves_nothing(
    place: Path, outside: Outside, tmp_path: Path, inodes: int
) -> None:
    many = "for n in $(seq 200); do echo $n > f$n; done"
    fill = "head -c 32M /dev/urandom > large" if inodes == 1024 else many
    async with running(place, outside) as executor:
        await executor.start({"shell": fill})
        assert not (await executor.finish()).unsaved
    outside.last_seq = 0
    for name in ("workspace", "spool", "home"):
        (place / name).rename(tmp_path / name)
        (place / name).mkdir(mode=0o700)
    with small_disk(tmp_path / "image", place / "workspace", inodes=inodes):
        async with running(place, outside, epoch=2, ready=False) as executor:
            status = await executor.phase(ExecutorPhase.FAILED)
            assert status.reason == Reason.DISK_FULL
            step = await outside.until(lambda: failed_step(outside))
            assert (step["step"], step["reason"]) == ("restore", "disk_full")
        assert [one.name for one in (place / "workspace").iterdir()] == ["lost+found"]
    # a larger one takes it
    outside.last_seq = 0
    (place / "spool").rename(tmp_path / "failed-spool")
    (place / "spool").mkdir(mode=0o700)
    async with running(place, outside, epoch=3):
        assert canonical(place / "workspace") == canonical(tmp_path / "workspace")


def failed_step(outside: Outside) -> dict[str, Any] | None:
    failed = [one for one in outside.events("worker.step") if one["outcome"] == "failed"]
    assert len(failed) <= 1, failed
    return failed[0] if failed else None


@pytest.mark.root
async def test_saves__leave_out_what_is_the_file_systems_own(
    place: Path, outside: Outside, tmp_path: Path
) -> None:
    with small_disk(tmp_path / "image", place / "workspace") as disk:
        os.chown(disk, 10001, 10001)
        os.chown(disk / "lost+found", 0, 0)
        async with running(place, outside) as executor:
            await executor.start({"write": {"path": "kept", "content": "kept"}})
            assert (await executor.finish()).state == "succeeded"
    assert not [one for one in outside.events("run.warning") if one["code"] == "files_skipped"]


V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"
V2 = "low 0\nhigh 0\nmax 17\noom 4\noom_kill 3\noom_group_kill 0\n"


@pytest.mark.parametrize(
    ("counter", "content"), [("memory.events", V2), ("memory/memory.oom_control", V1)]
)
def test_kernels_count__of_either_version(tmp_path: Path, counter: str, content: str) -> None:
    (tmp_path / counter).parent.mkdir(exist_ok=True)
    (tmp_path / counter).write_text(content)
    assert kills(tmp_path) == 3
    assert kills(tmp_path / "none") == kills(None) == 0


def counting(place: Path, count: int) -> Path:
    cgroup = place / "cgroup"
    cgroup.mkdir(exist_ok=True)
    (cgroup / "memory.events").write_text(f"oom {count}\noom_kill {count}\n")
    return cgroup


@pytest.mark.parametrize("guarded", [True, False])
async def test_agent_that_the_kernel_ended__is_out_of_memory(
    place: Path, outside: Outside, *, guarded: bool
) -> None:
    cgroup = counting(place, 1)
    never = replaced(memory, "kills", lambda _: 0)
    with perhaps_without(never, guarded=guarded):
        async with running(place, outside, cgroup_dir=cgroup) as executor:
            await executor.start(
                {"write": {"path": "kept", "content": "kept"}},
                {"shell": f"printf 'oom_kill 2\\n' > {cgroup}/memory.events; kill -9 $PPID"},
            )
            finish = await executor.finish()
    expected = Reason.OUT_OF_MEMORY if guarded else Reason.AGENT_CRASHED
    assert (finish.state, finish.reason) == ("failed", expected)
    assert finish.retryable
    assert not finish.unsaved
    assert (place / "workspace" / "kept").read_text() == "kept"


async def test_tool_that_the_kernel_ended__is_a_warning_of_a_run_that_goes_on(
    place: Path, outside: Outside
) -> None:
    cgroup = counting(place, 0)
    async with running(place, outside, cgroup_dir=cgroup) as executor:
        await executor.start(
            {"shell": f"printf 'oom_kill 1\\n' > {cgroup}/memory.events; kill -9 $$"},
            {"text": "went on"},
        )
        finish = await executor.finish()
    assert (finish.state, finish.reason) == ("succeeded", Reason.COMPLETED)
    (warning,) = [one for one in outside.events("run.warning") if one["code"] == "out_of_memory"]
    assert "1 of its processes" in warning["detail"]


@pytest.mark.parametrize("told", [True, False])
async def test_executor_that_the_kernel_ended__its_successor_says_so_once(
    place: Path, outside: Outside, *, told: bool
) -> None:
    async with process(place, outside) as executor:
        await executor.phase(ExecutorPhase.READY)
        await executor.start({"write": {"path": "kept", "content": "kept"}}, {"sleep": 60})
        await executor.until(lambda: (place / "workspace" / "kept").exists() or None)
        executor.kill()
        await executor.gone()
    if told:
        (place / "control" / ENDED_FILE).write_text(Reason.OUT_OF_MEMORY)
    async with process(place, outside) as executor:
        interrupted = await executor.entry(RunInterrupted)
        expected = Reason.OUT_OF_MEMORY if told else Reason.EXECUTOR_INTERRUPTED
        assert interrupted.reason is expected
        await executor.phase(ExecutorPhase.READY)
    assert not (place / "control" / ENDED_FILE).exists()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\xff" * 1000])
def test_told_nonsense__is_a_restart(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ENDED_FILE).write_bytes(content)
    assert former_end.read_end(tmp_path) == former_end.RESTARTED
