"""The agents' half is loaded once the worker is ready: what waits for it, and what if it cannot."""

import asyncio
import sys
import threading
from pathlib import Path
from uuid import UUID

import pytest

from chassis.errors import CallFailed
from chassis.failpoints import arm
from chassis.ids import new_id
from chassis.listening import bind
from contracts.commands import StartRun
from contracts.errors import Code
from contracts.executors import (
    EXECUTOR_DELIVER,
    EXECUTOR_SUPERSEDE,
    Deliver,
    ExecutorPhase,
    Supersede,
)
from contracts.wire import Empty
from executor.app import App
from executor.services.frontage import Frontage
from executor.services.loading import load_attempts
from executor.spool import host_boot_id
from tests.executor.outside import Outside
from tests.executor.running import DEADLINE, Running, run_spec, running, settings_at


async def test_command__that_comes_before_waits(
    place: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("executor.services.commands.READY_SECONDS", DEADLINE)
    released = threading.Event()

    def hold() -> None:
        released.wait(DEADLINE)

    await load_attempts()
    arm("loading.before_import", hold)
    known = Running(place, outside)
    listener = bind(uds=str(place / "control" / "executor.sock"))
    async with App(settings_at(place)).running(listener):
        await known.phase(ExecutorPhase.READY)  # without it
        command = StartRun(id=new_id(), run=run_spec({"text": "x"}))
        delivering = asyncio.create_task(known.deliver(command))
        assert (await known.status()).run_id is None
        assert not delivering.done()
        released.set()
        assert await delivering == [command.id]
        await known.finish()
        await known.aclose()


async def test_installation__that_is_broken_is_a_named_failure(
    place: Path, outside: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = Running(place, outside)
    listener = bind(uds=str(place / "control" / "executor.sock"))
    monkeypatch.setitem(sys.modules, "executor.services.runs.attempt", None)
    async with App(settings_at(place)).running(listener):
        # nobody asked for it: it is not even tried
        assert (await known.phase(ExecutorPhase.READY)).reason == ""
        command = StartRun(id=new_id(), run=run_spec({"text": "x"}))
        assert await known.deliver(command) == []
        failed = await known.phase(ExecutorPhase.FAILED)
        assert failed.reason == "agents_not_loaded"
        await known.aclose()


async def test_worker__of_another_id_is_refused(place: Path, outside: Outside) -> None:
    async with running(place, outside) as executor:
        own, other = settings_at(place).worker_id, UUID(int=9)
        calls = executor._client
        await calls.call(EXECUTOR_DELIVER, Deliver(worker_id=own, epoch=1, commands=[]))
        with pytest.raises(CallFailed, match=str(own)) as undelivered:
            await calls.call(EXECUTOR_DELIVER, Deliver(worker_id=other, epoch=1, commands=[]))
        with pytest.raises(CallFailed, match=str(own)) as unsuperseded:
            await calls.call(EXECUTOR_SUPERSEDE, Supersede(worker_id=other, epoch=1))
        assert undelivered.value.code == unsuperseded.value.code == Code.STALE_EPOCH
        assert (await executor.status()).phase is ExecutorPhase.READY


async def test_superseded_before_its_spool_is_open__has_not_ended(place: Path) -> None:
    frontage = Frontage(settings_at(place), host_boot_id())
    await frontage.supersede(Supersede(epoch=1))
    # SUPERSEDED without a reason says that all is saved: its directories would be removed
    assert (await frontage.status(Empty())).phase is ExecutorPhase.STARTING
    frontage.refusal = "spool_other_boot_id"
    refused = await frontage.status(Empty())
    assert (refused.phase, refused.reason) == (ExecutorPhase.SUPERSEDED, frontage.refusal)
