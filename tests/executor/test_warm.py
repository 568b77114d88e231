"""An executor that was started for nobody: whose it becomes is told once, and checked."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import msgspec
import pytest

from chassis.errors import CallFailed
from contracts.errors import Code
from contracts.executors import (
    ASSIGNED_FILE,
    EXECUTOR_DELIVER,
    EXECUTOR_STATUS,
    Assigned,
    Deliver,
    ExecutorPhase,
)
from contracts.terminals import EXECUTOR_EXEC
from contracts.wire import Empty
from tests.executor.outside import Outside
from tests.executor.running import Process, process
from tests.fixtures.processes import met

OURS = Assigned(worker_id=UUID(int=11), session_id=UUID(int=12), project_id=UUID(int=13), epoch=3)
THEIRS = msgspec.structs.replace(OURS, worker_id=UUID(int=21), session_id=UUID(int=22), epoch=4)


def assign(place: Path, whose: Assigned) -> None:
    """As its manager does: whole, or not at all."""
    beside = place / f".{ASSIGNED_FILE}"
    beside.write_bytes(msgspec.json.encode(whose))
    beside.replace(place / "control" / ASSIGNED_FILE)


async def prepared(place: Path) -> None:
    await met((place / "control" / "executor.sock").exists, "it is prepared", 60)


async def exec_env(place: Path) -> dict[str, str]:
    transport = httpx.AsyncHTTPTransport(uds=str(place / "control" / "executor.sock"))
    async with httpx.AsyncClient(transport=transport, base_url="http://x", timeout=30) as http:
        answer = await http.post(EXECUTOR_EXEC.path, json={"command": ["env"]})
    lines = answer.json()["stdout"].splitlines()
    return dict(line.split("=", 1) for line in lines)


async def test_executor__answers_nobody_until_it_is_somebodys(
    place: Path, outside: Outside
) -> None:
    async with process(place, outside, warm=True) as executor:
        await prepared(place)
        asking = asyncio.create_task(executor.status())
        done, _ = await asyncio.wait({asking}, timeout=0.5)
        assert not done
        assert list((place / "spool").iterdir()) == []
        assign(place, OURS)
        status = await asyncio.wait_for(asking, 20)
        assert (status.worker_id, status.epoch) == (OURS.worker_id, OURS.epoch)
        assert (await executor.phase(ExecutorPhase.READY)).worker_id == OURS.worker_id


async def test_whose_it_is__is_read_once(place: Path, outside: Outside) -> None:
    async with process(place, outside, warm=True) as executor:
        await prepared(place)
        assign(place, OURS)
        await executor.phase(ExecutorPhase.READY)
        assign(place, THEIRS)
        status = await executor.status()
        assert (status.worker_id, status.epoch) == (OURS.worker_id, OURS.epoch)
        await refuses(executor, worker_id=THEIRS.worker_id, epoch=THEIRS.epoch)
        await refuses(executor, worker_id=OURS.worker_id, epoch=THEIRS.epoch)
        # of whom it was made for, before anybody asked
        await refuses(executor, worker_id=UUID(int=1), epoch=1)
        executor.kill()
        await executor.gone()
    # and a restart as somebody else's finds a spool that is not its own
    async with process(place, outside, warm=True) as executor:
        status = await executor.phase(ExecutorPhase.FAILED)
        assert status.worker_id == THEIRS.worker_id
        assert status.reason.startswith("spool_")


async def refuses(executor: Process, **body: Any) -> None:
    with pytest.raises(CallFailed) as refused:
        await executor._client.call(EXECUTOR_DELIVER, Deliver(commands=[], **body))
    assert refused.value.code == Code.STALE_EPOCH


async def test_restart__finds_whose_it_is_and_waits_for_nobody(
    place: Path, outside: Outside
) -> None:
    async with process(place, outside, warm=True) as executor:
        await prepared(place)
        assign(place, OURS)
        await executor.phase(ExecutorPhase.READY)
        executor.kill()
        await executor.gone()
    async with process(place, outside, warm=True) as executor:
        assert (await executor.phase(ExecutorPhase.READY)).worker_id == OURS.worker_id


async def test_what_it_was_told__is_what_its_tools_find(place: Path, outside: Outside) -> None:
    granted = msgspec.structs.replace(OURS, egress=["pypi", "of-a-later-version"])
    changes = {"agent_dir": place / "agent", "agent_port": 0, "egress": ["npm"]}
    (place / "agent").mkdir(mode=0o700)
    async with process(place, outside, warm=True, **changes) as executor:
        await prepared(place)
        assign(place, granted)
        await executor.phase(ExecutorPhase.READY)
        env = await exec_env(place)
    assert env["PIP_INDEX_URL"].startswith("http://127.0.0.1:")
    assert "npm_config_registry" not in env


@pytest.mark.parametrize(
    "told",
    [
        b"",
        b"{}",
        b'{"worker_id": "me"}',
        msgspec.json.encode(msgspec.structs.replace(OURS, epoch=0)),
        msgspec.json.encode(msgspec.structs.replace(OURS, worker_id=UUID(int=1))),
    ],
)
async def test_what_makes_no_sense__ends_it_before_it_is_anybodys(
    place: Path, outside: Outside, told: bytes
) -> None:
    async with process(place, outside, warm=True) as executor:
        await prepared(place)
        (place / f".{ASSIGNED_FILE}").write_bytes(told)
        (place / f".{ASSIGNED_FILE}").replace(place / "control" / ASSIGNED_FILE)
        assert await executor.gone() != 0
        with pytest.raises(CallFailed):
            await executor._client.call(EXECUTOR_STATUS, Empty())
        assert list((place / "spool").iterdir()) == []
    assert b"assigned.json" in (place / "executor.log").read_bytes()


async def test_stop__ends_one_that_nobody_wanted(place: Path, outside: Outside) -> None:
    async with process(place, outside, warm=True) as executor:
        await prepared(place)
        executor.process.terminate()
        assert await executor.gone() == 0
    assert outside.reports == []
