"""Layers at a worker's start, and what a manager can have done between runs."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from chassis.errors import CallFailed
from chassis.failpoints import arm
from chassis.ids import new_id
from contracts.commands import SyncWorker
from contracts.executors import (
    EXECUTOR_LINK_AGENT_DATA,
    EXECUTOR_RESTORE,
    EXECUTOR_SYNC,
    EXECUTOR_VALIDATE,
    ExecutorPhase,
)
from contracts.reasons import Reason
from contracts.runtime_manifests import ConflictPolicy
from contracts.snapshots import Layer, LayerFile
from contracts.spool import RunFinishedReported, SnapshotCommitted
from executor.services import upkeep
from snapshots.manifest import Limits, Manifest
from tests.executor.outside import Outside
from tests.executor.running import running
from tests.fixtures.barriers import Barrier

MOUNT = "/workspace/.berth/project"


async def kept(outside: Outside, path: str, content: bytes, **more: Any) -> LayerFile:
    digest = hashlib.sha256(content).hexdigest()
    key = f"{outside.prefix}/f/{digest}"
    await outside.objects.put(key, content)
    return LayerFile(path=path, size=len(content), sha256=digest, key=key, **more)


async def lay(outside: Outside, **contents: bytes) -> None:
    """The project's files, as the next plan has them."""
    files = [await kept(outside, name, content) for name, content in contents.items()]
    outside.laid["layers"] = [Layer(kind="mount", path=MOUNT, files=files)]


def entries(directory: Path) -> list[str]:
    return sorted(one.name for one in directory.iterdir())


async def test_start__layers_are_there_and_in_no_snapshot(place: Path, outside: Outside) -> None:
    await lay(outside, guide=b"hello")
    seed = await kept(outside, "", b"seed")
    outside.laid["layers"].append(Layer(kind="seed", path="/workspace/a.txt", files=[seed]))
    root = place / "workspace"
    async with running(place, outside) as executor:
        assert (root / ".berth/project/guide").read_bytes() == b"hello"
        await executor.start({"text": "x"})
        await executor.finish()
    again = place / "again"
    for name in ("workspace", "spool", "control", "home"):
        (again / name).mkdir(parents=True)
    outside.laid.clear()
    outside.last_seq = 0
    (again / "control").rmdir()
    (again / "control").symlink_to(place / "control")
    async with running(again, outside, epoch=2):
        assert (again / "workspace/a.txt").read_bytes() == b"seed"
        assert not (again / "workspace/.berth/project").exists()


async def test_start__a_fail_policy_blocks_the_run_and_says_what(
    place: Path, outside: Outside
) -> None:
    seed = await kept(outside, "", b"seed")
    async with running(place, outside) as executor:
        await executor.start({"write": {"path": "a.txt", "text": "own"}}, {"text": "x"})
        await executor.finish()
        (place / "workspace/a.txt").write_text("own")
        outside.laid["layers"] = [Layer(kind="seed", path="/workspace/a.txt", files=[seed])]
        outside.laid["conflict_policy"] = ConflictPolicy.FAIL
        state = await executor.upkeep(EXECUTOR_RESTORE)
        assert (state.blocked, "/workspace/a.txt" in state.detail) == (Reason.LAYER_CONFLICT, True)
        await executor.start({"text": "x"})
        finish = await executor.finish(2)
    assert (finish.state, finish.reason) == ("blocked", Reason.LAYER_CONFLICT)
    assert "/workspace/a.txt" in finish.detail
    assert (place / "workspace/a.txt").read_text() == "own"


async def test_start__what_was_missing_may_come_before_the_next_run(
    place: Path, outside: Outside
) -> None:
    outside.required_paths = ["/workspace/needed"]
    async with running(place, outside) as executor:
        await executor.start({"text": "x"})
        assert (await executor.finish()).reason is Reason.REQUIRED_PATHS_MISSING
        assert (await executor.upkeep(EXECUTOR_VALIDATE)).missing_paths == ["/workspace/needed"]
        (place / "workspace/needed").write_text("1")
        assert (await executor.upkeep(EXECUTOR_VALIDATE)).missing_paths == []
        await executor.start({"text": "x"})
        assert (await executor.finish(2)).state == "succeeded"


async def test_restore__brings_what_changed_and_may_be_repeated(
    place: Path, outside: Outside
) -> None:
    await lay(outside, a=b"1", old=b"o")
    top = place / "workspace/.berth/project"
    async with running(place, outside) as executor:
        assert entries(top) == ["a", "old"]
        (place / "workspace/own.txt").write_text("own")
        await lay(outside, a=b"2")
        for _ in range(2):
            state = await executor.upkeep(EXECUTOR_RESTORE)
            assert (entries(top), (top / "a").read_bytes()) == (["a"], b"2")
            assert state.mounts == [MOUNT]
        assert (place / "workspace/own.txt").read_text() == "own"
    async with running(place, outside) as executor:  # a restart in place knows whose it is
        assert (await executor.upkeep(EXECUTOR_VALIDATE)).mounts == [MOUNT]
        assert (await executor.upkeep(EXECUTOR_RESTORE)).mounts == [MOUNT]


async def test_sync__saves_once(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        (place / "workspace/own.txt").write_text("own")
        first = await executor.upkeep(EXECUTOR_SYNC)
        second = await executor.upkeep(EXECUTOR_SYNC)
        assert first.head is not None
        assert second.head == first.head
        await executor.until(lambda: outside.head == first.head)
        assert len(outside.of(SnapshotCommitted)) == 1
        assert (await executor.upkeep(EXECUTOR_LINK_AGENT_DATA)).head == first.head


@pytest.mark.parametrize("endpoint", [EXECUTOR_RESTORE, EXECUTOR_SYNC, EXECUTOR_LINK_AGENT_DATA])
async def test_upkeep__not_while_a_run_is_live(
    place: Path, outside: Outside, endpoint: Any
) -> None:
    async with running(place, outside) as executor:
        spec = await executor.start({"text": "on"}, {"hang": "deaf"})
        await executor.text("on")
        with pytest.raises(CallFailed) as refused:
            await executor.upkeep(endpoint)
        assert refused.value.code == "session_busy"
        await executor.upkeep(EXECUTOR_VALIDATE)
        await executor.cancel(spec)
        await executor.finish()


async def test_upkeep__a_run_that_comes_meanwhile_waits(place: Path, outside: Outside) -> None:
    await lay(outside, a=b"1")
    async with running(place, outside) as executor:
        await lay(outside, a=b"2")
        restoring = asyncio.create_task(executor.upkeep(EXECUTOR_RESTORE))
        await executor.start({"text": "x"})
        try:
            await restoring
        except CallFailed as refused:
            assert refused.code == "session_busy"
        assert (await executor.finish()).state == "succeeded"
    assert entries(place / "workspace/.berth/project") == ["a"]


async def test_restore__waits_for_a_save_that_is_under_way(place: Path, outside: Outside) -> None:
    """Which would take what is a layer's for the session's own."""
    async with running(place, outside) as executor:
        (place / "workspace/own.txt").write_text("own")
        await executor.upkeep(EXECUTOR_RESTORE)
        scanning = Barrier()
        arm("save.before_scan", scanning.action)
        await executor.deliver_surely(SyncWorker(id=new_id()))
        await scanning.reached()
        await lay(outside, a=b"1")
        restoring = asyncio.create_task(executor.upkeep(EXECUTOR_RESTORE))
        await asyncio.wait({restoring}, timeout=0.5)
        scanning.release()
        assert (await restoring).mounts == [MOUNT]
        committed = await executor.entry(SnapshotCommitted)
        stored = await outside.objects.get(committed.snapshot.manifest_key)
    paths = [item.path for item in Manifest(stored, Limits(100, 1000)).items()]
    assert b"own.txt" in paths
    assert not [path for path in paths if path.startswith(b".berth/project")]


async def test_restore__that_fails_in_the_middle_knows_whose_the_first_half_is(
    place: Path, outside: Outside
) -> None:
    async with running(place, outside) as executor:
        one, two = [await kept(outside, name, name.encode()) for name in ("one", "two")]
        outside.corrupt.add(str(two.key))
        outside.laid["layers"] = [
            Layer(kind="mount", path="/workspace/first", files=[one]),
            Layer(kind="mount", path="/workspace/second", files=[two]),
        ]
        with pytest.raises(CallFailed) as refused:
            await executor.upkeep(EXECUTOR_RESTORE)
        assert refused.value.code == "conflict"
        assert (await executor.upkeep(EXECUTOR_VALIDATE)).mounts == ["/workspace/first"]
    async with running(place, outside) as executor:
        assert (await executor.upkeep(EXECUTOR_VALIDATE)).mounts == ["/workspace/first"]


async def test_upkeep__a_run_that_waits_can_be_canceled(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        laying, ending = Barrier(deadline=20), Barrier()
        arm("layers.after_seeds", laying.action)
        arm("finish.before_save", ending.action)
        restoring = asyncio.create_task(executor.upkeep(EXECUTOR_RESTORE))
        await laying.reached()
        spec = await executor.start({"text": "x"})
        await executor.cancel(spec)
        await ending.reached()
        ending.release()
        laying.release()
        await restoring
        assert (await executor.finish()).state == "canceled"
        assert not outside.events("message.delta")


async def test_upkeep__has_a_deadline(
    place: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs wait for it: not for a control plane that is away."""
    monkeypatch.setattr(upkeep, "SECONDS", 0.3)
    async with running(place, outside) as executor:
        outside.fail_next("restore", *[503] * 100)
        with pytest.raises(CallFailed) as refused:
            await executor.upkeep(EXECUTOR_RESTORE)
        assert refused.value.code == "upstream_timeout"
        await executor.start({"text": "x"})
        assert (await executor.finish()).state == "succeeded"


async def test_upkeep__is_for_this_worker_and_epoch(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        executor.epoch = 2
        for endpoint in (EXECUTOR_RESTORE, EXECUTOR_VALIDATE):
            with pytest.raises(CallFailed) as refused:
                await executor.upkeep(endpoint)
            assert refused.value.code == "stale_epoch"


async def test_start__a_shared_mcp_configuration_is_text(place: Path, outside: Outside) -> None:
    """H11: no `command` of it is run by anything of ours."""
    proof = place / "ran"
    servers = {"mcpServers": {"x": {"command": "/bin/sh", "args": ["-c", f"touch {proof}"]}}}
    file = await kept(outside, "", json.dumps(servers).encode(), executable=True)
    paths = [".mcp.json", ".claude/settings.json", ".codex/config.toml"]
    outside.laid["layers"] = [
        Layer(kind="mount", path=f"/workspace/{path}", files=[file]) for path in paths
    ]
    async with running(place, outside) as executor:
        await executor.upkeep(EXECUTOR_RESTORE)
        await executor.upkeep(EXECUTOR_LINK_AGENT_DATA)
        await executor.start({"text": "x"})
        assert (await executor.finish()).state == "succeeded"
        assert outside.of(RunFinishedReported)
    assert (place / "workspace/.mcp.json").read_bytes() == json.dumps(servers).encode()
    assert not proof.exists()


async def test_start__damaged_content_is_told_and_not_used(place: Path, outside: Outside) -> None:
    await lay(outside, a=b"right")
    (file,) = outside.laid["layers"][0].files
    outside.corrupt.add(str(file.key))
    async with running(place, outside, ready=False) as executor:
        await executor.until(
            lambda: [one for one in outside.events("worker.step") if one["reason"]]
        )
        (failed,) = [one for one in outside.events("worker.step") if one["reason"]]
        assert (failed["step"], failed["reason"]) == ("restore", "layer_damaged")
        status = await executor.phase(ExecutorPhase.FAILED)
        # which layer, and what to do
        assert status.why.startswith(f"layer_damaged: the mount of {MOUNT}/a: its content")
        assert "berth projects files put" in status.why
    assert not (place / "workspace/.berth/project").exists()
