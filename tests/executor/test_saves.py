"""What a save refers to, and what it tells of what it left out."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chassis.ids import new_id
from contracts.errors import Code, Problem
from contracts.executors import ExecutorPhase
from contracts.spool import SnapshotCommitted
from executor.app import open_worker
from executor.services.worker import Worker
from executor.workspace.index import Index
from tests.executor.outside import Outside
from tests.executor.running import DEADLINE, running, settings_at


@pytest.fixture
async def worker(place: Path, outside: Outside) -> AsyncGenerator[Worker]:
    """Nothing of it runs, but its saves may be asked for."""
    del outside
    worker = await open_worker(settings_at(place))
    (place / "workspace" / "f").write_text("kept")
    yield worker
    await worker.saves.close()
    await worker.relay.aclose()
    await worker.spool.close()


async def spooled(worker: Worker) -> SnapshotCommitted:
    found = await worker.spool.read(0, entries=100, size=1 << 20)
    saved = [entry for _, entry in found if isinstance(entry, SnapshotCommitted)]
    return saved[-1]


async def test_if_changed__of_what_did_not_change_leaves_nothing_to_save(worker: Worker) -> None:
    head = await worker.saves.if_changed()
    worker.saves.touched()
    assert await worker.saves.if_changed() == head
    assert not worker.saves.dirty


async def test_if_changed__a_head_that_moved_does_not_cover_it(
    worker: Worker, outside: Outside
) -> None:
    saves = worker.saves
    first = await saves.if_changed()
    committed = await spooled(worker)
    outside.head, outside.points = new_id(), []
    another = msgspec.structs.replace(committed.snapshot, id=new_id())
    saves.refused(SnapshotCommitted(**worker.reporter.stamp(), snapshot=another))
    assert await saves.if_changed() not in {first, outside.head}
    assert (await spooled(worker)).snapshot.parent == outside.head


async def test_if_changed__one_that_is_refused_meanwhile_does_not_cover_it(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = worker.saves
    first = await saves.if_changed()
    committed = await spooled(worker)
    reading, save_once = iter([committed]), saves._save_once

    async def refused_after(*args: Any, **kwargs: Any) -> Any:
        saved = await save_once(*args, **kwargs)
        for entry in reading:
            saves.refused(entry)
        return saved

    monkeypatch.setattr(saves, "_save_once", refused_after)
    assert await saves.if_changed() != first


async def test_refused__after_its_commit_was_cancelled(
    worker: Worker, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its index was kept all the same: the next save must not refer to its packs."""
    keeping, on, keep = threading.Event(), threading.Event(), Index.keep

    def held(index: Index) -> None:
        keeping.set()
        on.wait(DEADLINE)
        keep(index)

    monkeypatch.setattr(Index, "keep", held)
    saving = asyncio.create_task(worker.saves.acknowledged(None))
    await asyncio.to_thread(keeping.wait, DEADLINE)
    saving.cancel()
    on.set()
    await asyncio.wait({saving}, timeout=DEADLINE)
    assert saving.cancelled()
    worker.saves.refused(await spooled(worker))
    stored = outside.calls["put"]
    await worker.saves.acknowledged(None)
    assert outside.calls["put"] == stored + 2


@pytest.mark.parametrize("code", [Code.HEAD_MOVED, Code.SNAPSHOT_PACKS_GONE])
async def test_refused__nothing_refers_to_a_refused_snapshots_packs(
    place: Path, outside: Outside, code: Code
) -> None:
    async with running(place, outside) as executor:
        outside.refuse = {"snapshot": code}
        await executor.start({"text": "x"})
        await executor.finish()
        outside.refuse = {}
        await executor.entry(SnapshotCommitted)
        saves = outside.calls["restore"]
    # each asked for the head, and stored its packs again, not only a manifest that refers to them
    assert saves > 1
    assert outside.calls["put"] == 2 * saves


async def test_side__that_names_what_is_gone_is_saved_again_without_it(
    place: Path, outside: Outside
) -> None:
    async with running(place, outside) as executor:
        await executor.start({"write": {"path": "f", "content": "kept"}}, {"text": "x"})
        await executor.finish()
        await executor.start(
            {"write": {"path": "g", "content": "late"}}, {"text": "begun"}, {"hang": "deaf"}
        )
        await executor.text("begun")
        gone = Problem(title="gone", status=409, code=Code.SNAPSHOT_PACKS_GONE)
        outside.fail_next("side-snapshot", gone)
        await executor.supersede()
        await executor.phase(ExecutorPhase.SUPERSEDED)
    assert outside.head is not None
    kept = set(outside.drafts[outside.head].packs)
    assert (outside.calls["side-snapshot"], len(outside.sides)) == (2, 1)
    assert kept
    assert not kept & set(outside.sides[0].snapshot.packs)


async def test_skipped__is_told_once_for_each_run(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        await executor.start({"shell": "for n in $(seq 12); do mkfifo f$n; done"})
        await executor.finish()
    told = outside.events("run.warning")
    assert [warning["code"] for warning in told] == ["files_skipped"]
    assert told[0]["detail"].startswith("12 not in the snapshot: f1 (fifo), f10 (fifo)")
    assert told[0]["detail"].endswith("…")
