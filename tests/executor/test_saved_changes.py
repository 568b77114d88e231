"""What people write is saved, whatever is saved or stopped meanwhile, and without any run."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from chassis.failpoints import arm
from contracts.executors import ExecutorPhase
from contracts.spool import SnapshotCommitted, WorkerStoppedReported
from executor.services import changes
from tests.executor.outside import Outside
from tests.executor.running import DEADLINE, Running, running
from tests.fixtures.barriers import Barrier


async def put(place: Path, path: str, content: bytes) -> httpx.Response:
    transport = httpx.AsyncHTTPTransport(uds=str(place / "control" / "executor.sock"))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://executor", timeout=DEADLINE
    ) as http:
        return await http.put("/workspace/file", params={"path": path}, content=content)


def names(place: Path) -> set[str]:
    return {one.name for one in (place / "workspace").iterdir() if one.name != ".berth"}


async def saved_names(executor: Running, number: int) -> SnapshotCommitted:
    committed: SnapshotCommitted = await executor.entry(SnapshotCommitted, number)
    return committed


async def test_write__is_saved_without_a_run(
    place: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "SAVE_SECONDS", 0.05)
    async with running(place, outside) as executor:
        await executor.start({"text": "x"})
        await executor.finish()
        assert (await put(place, "by hand", b"1")).status_code == 201
        committed = await saved_names(executor, 2)
        assert committed.run_id is None
        first: SnapshotCommitted = await executor.entry(SnapshotCommitted)
        assert committed.snapshot.files == first.snapshot.files + 1


async def test_write__during_a_save_is_in_the_next(place: Path, outside: Outside) -> None:
    """The tree was read already when it came: nothing else says that there is more."""
    barrier = Barrier()
    arm("save.before_commit", barrier.action)
    async with running(place, outside) as executor:
        await executor.start({"text": "x"})
        await barrier.reached()
        assert (await put(place, "late", b"1")).status_code == 201
        barrier.release()
        first = await saved_names(executor, 1)
        second = await saved_names(executor, 2)
        assert second.snapshot.files == first.snapshot.files + 1


async def test_write__before_a_stop_is_in_its_snapshot(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        assert (await put(place, "by hand", b"1")).status_code == 201
        await executor.stop()
        stopped: WorkerStoppedReported = await executor.entry(WorkerStoppedReported)
        assert stopped.snapshot_id is not None
        assert outside.drafts[stopped.snapshot_id].files >= 1


async def test_write__that_is_under_way_at_a_stop_is_not_acknowledged(
    place: Path, outside: Outside
) -> None:
    begun = asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield b"half"
        begun.set()
        await asyncio.Event().wait()

    transport = httpx.AsyncHTTPTransport(uds=str(place / "control" / "executor.sock"))
    async with (
        running(place, outside) as executor,
        httpx.AsyncClient(
            transport=transport, base_url="http://executor", timeout=DEADLINE
        ) as http,
    ):
        writing = asyncio.create_task(http.put("/workspace/file?path=f", content=slowly()))
        await begun.wait()
        await executor.stop()
        await executor.phase(ExecutorPhase.STOPPED)
        assert not writing.done() or writing.result().status_code == 409
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        assert (await put(place, "late", b"1")).status_code == 409
    assert names(place) == set()
