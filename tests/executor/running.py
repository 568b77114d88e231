"""An executor: in this process (barriers can hold it) or as its own (signals can break it)."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec

from chassis.client import ServiceClient
from chassis.errors import CallFailed
from chassis.ids import new_id
from chassis.listening import bind
from contracts.commands import (
    AnyCommand,
    CancelRun,
    InterruptRun,
    ParkRun,
    ReplyToAsk,
    RunSpec,
    StartRun,
    StopWorker,
)
from contracts.endpoint import Endpoint
from contracts.executors import (
    EXECUTOR_DELIVER,
    EXECUTOR_STATUS,
    EXECUTOR_SUPERSEDE,
    AskWorkspace,
    Deliver,
    ExecutorPhase,
    ExecutorStatus,
    Supersede,
    WorkspaceState,
)
from contracts.spool import Asked, GrantTaken, RunFinishedReported
from contracts.wire import Empty
from executor.app import App
from executor.services.loading import load_attempts
from executor.settings import Settings
from executor.status import ENDED
from tests.executor.outside import Outside

DEADLINE = 60.0


def settings_at(place: Path, **changes: Any) -> Settings:
    known = Settings(
        worker_id=UUID(int=1),
        session_id=UUID(int=2),
        project_id=UUID(int=3),
        epoch=1,
        workspace_dir=place / "workspace",
        spool_dir=place / "spool",
        control_dir=place / "control",
        home_dir=place / "home",
        log_level="warning",
    )
    return msgspec.structs.replace(known, **changes)


class Running:
    """What a manager can do with an executor, and what a test waits for."""

    def __init__(self, place: Path, outside: Outside, epoch: int = 1) -> None:
        self.place = place
        self.outside = outside
        self.epoch = epoch
        socket = str(place / "control" / "executor.sock")
        self._client = ServiceClient("http://executor", uds=socket, target="executor")

    async def status(self) -> ExecutorStatus:
        return await self._client.call(EXECUTOR_STATUS, Empty(), deadline=DEADLINE)

    async def phase(self, wanted: ExecutorPhase) -> ExecutorStatus:
        async with asyncio.timeout(DEADLINE):
            while True:  # the executor's state is its own: it is asked for
                try:
                    status = await self.status()
                except CallFailed:
                    status = None
                if status is not None and status.phase is wanted:
                    return status
                await asyncio.sleep(0.02)

    async def deliver(self, *commands: AnyCommand) -> list[UUID]:
        body = Deliver(epoch=self.epoch, commands=list(commands))
        return (await self._client.call(EXECUTOR_DELIVER, body, deadline=DEADLINE)).done

    async def supersede(self) -> None:
        body = Supersede(epoch=self.epoch)
        await self._client.call(EXECUTOR_SUPERSEDE, body, deadline=DEADLINE)

    async def upkeep(self, endpoint: Endpoint[AskWorkspace, WorkspaceState]) -> WorkspaceState:
        """Raises `CallFailed`."""
        ask = AskWorkspace(worker_id=UUID(int=1), epoch=self.epoch)
        return await self._client.call(endpoint, ask)

    async def start(self, *steps: dict[str, Any], **changes: Any) -> RunSpec:
        spec = run_spec(*steps, **changes)
        await self.deliver_surely(StartRun(id=new_id(), run=spec))
        return spec

    async def deliver_surely(self, command: AnyCommand) -> None:
        """Again and again, as managers do: the executor may still be loading its agents' half."""
        async with asyncio.timeout(DEADLINE):
            while await self.deliver(command) != [command.id]:
                if (status := await self.status()).phase in ENDED:
                    raise AssertionError(f"it takes nothing more: {status}")

    async def cancel(self, spec: RunSpec) -> None:
        await self.deliver_surely(CancelRun(id=new_id(), run_id=spec.run_id, attempt=spec.attempt))

    async def park(self, spec: RunSpec) -> None:
        await self.deliver_surely(ParkRun(id=new_id(), run_id=spec.run_id, attempt=spec.attempt))

    async def interrupt(self, spec: RunSpec) -> None:
        await self.deliver_surely(
            InterruptRun(id=new_id(), run_id=spec.run_id, attempt=spec.attempt)
        )

    async def stop(self) -> None:
        await self.deliver_surely(StopWorker(id=new_id()))

    async def answer(self, asked: Asked, kind: str | None = None, text: str | None = None) -> UUID:
        request_id = new_id()
        self.outside.grants[request_id] = GrantTaken(option_id=None, option_kind=kind, text=text)
        await self.tell_answer(asked, request_id)
        return request_id

    async def tell_answer(self, asked: Asked, request_id: UUID) -> None:
        await self.deliver_surely(
            ReplyToAsk(id=new_id(), run_id=asked.run_id, ask_id=asked.ask_id, request_id=request_id)
        )

    async def until(self, met: Callable[[], Any]) -> Any:
        return await self.outside.until(met, deadline=DEADLINE)

    async def entry(self, kind: type[Any], number: int = 1) -> Any:
        found = await self.until(lambda: self.outside.of(kind)[number - 1 : number])
        return found[0]

    async def finish(self, number: int = 1) -> RunFinishedReported:
        return await self.entry(RunFinishedReported, number)

    async def text(self, wanted: str) -> None:
        """Until the agent has said so."""
        await self.until(
            lambda: any(wanted in event["text"] for event in self.outside.events("message.delta"))
        )

    async def aclose(self) -> None:
        await self._client.aclose()


def run_spec(*steps: dict[str, Any], **changes: Any) -> RunSpec:
    script = "<<SCRIPT" + msgspec.json.encode(list(steps)).decode() + "SCRIPT>>"
    known = RunSpec(
        run_id=uuid4(),
        attempt=1,
        agent="scripted",
        prompt=f"please {script}",
        save_deadline_seconds=60.0,
        cancel_grace_seconds=2.0,
    )
    return msgspec.structs.replace(known, **changes)


@asynccontextmanager
async def running(
    place: Path, outside: Outside, *, ready: bool = True, **changes: Any
) -> AsyncGenerator[Running]:
    """In this process."""
    await load_attempts()  # once in a process, so that no test waits for it
    settings = settings_at(place, **changes)
    known = Running(place, outside, settings.epoch)
    listener = bind(uds=str(place / "control" / "executor.sock"))
    async with App(settings).running(listener, graceful_seconds=2.0):
        try:
            if ready:
                await known.phase(ExecutorPhase.READY)
            yield known
        finally:
            await known.aclose()


class Process(Running):
    """As a process of its own."""

    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)

    async def gone(self) -> int:
        async with asyncio.timeout(DEADLINE):
            return await asyncio.to_thread(self.process.wait)


def variables_of(settings: Settings) -> dict[str, str]:
    """As an environment has them."""
    fields = msgspec.to_builtins(settings, enc_hook=str)
    return {
        f"BERTH_{name.upper()}": ",".join(value) if isinstance(value, list) else str(value)
        for name, value in fields.items()
        if value is not None
    }


@asynccontextmanager
async def process(place: Path, outside: Outside, **changes: Any) -> AsyncGenerator[Process]:
    settings = settings_at(place, **changes)
    known = Process(place, outside, settings.epoch)
    path = f"{Path(sys.executable).parent}:{os.defpath}"
    with (place / "executor.log").open("ab") as log:
        known.process = subprocess.Popen(  # noqa: ASYNC220  # a fork, no wait
            [sys.executable, "-m", "executor"],
            env={"PATH": path, **variables_of(settings)},
            stderr=log,
        )
    try:
        yield known
    finally:
        await known.aclose()
        if known.process.poll() is None:
            known.process.terminate()
            await known.gone()
