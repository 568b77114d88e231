"""Brings a worker's executor up: directories, way out, process, first answer; each step timed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from chassis.errors import CallFailed
from chassis.failpoints import failpoint
from chassis.logs import get_logger
from chassis.telemetry import span
from contracts.executors import ExecutorPhase, ExecutorStatus
from executor_manager.containers.backend import (
    Container,
    ContainerBackend,
    ContainerSpec,
    ContainerState,
)
from executor_manager.containers.errors import BackendError
from executor_manager.metrics import ManagerMetrics
from executor_manager.services.executors import Executors, NotItsExecutor
from executor_manager.services.relay import Relay
from executor_manager.services.workers import Worker

EXITED = "executor_exited"
ASK_FIRST = 0.02
ASK_LONGEST = 0.25

_UP = frozenset({ExecutorPhase.READY, ExecutorPhase.BUSY})
_ENDED = frozenset({ExecutorPhase.FAILED, ExecutorPhase.STOPPED, ExecutorPhase.SUPERSEDED})

_log = get_logger()


class StartupFailed(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(slots=True, kw_only=True)
class Startup:
    backend: ContainerBackend
    relay: Relay
    executors: Executors
    metrics: ManagerMetrics
    deadline: float
    outage_grace: float = 900.0
    """The control plane's word at the registration."""

    async def create(self, worker: Worker) -> Container:
        """Raises `StartupFailed`. Its directories are there and its way out is open."""
        environment = {
            "BERTH_OUTAGE_GRACE_SECONDS": str(self.outage_grace),
            **self.relay.environment,
        }
        spec = ContainerSpec(identity=worker.identity, environment=environment)
        async with self._step("create", self.deadline):
            container = await self.backend.adopt_or_create(spec)
        await failpoint("startup.created")
        await self.connect(worker, container)
        return container

    async def connect(self, worker: Worker, container: Container) -> None:
        """Raises `StartupFailed`."""
        self.executors.at(worker, container.directories.control)
        async with self._step("relay", self.deadline):
            await self._push(worker, container)

    async def run(self, worker: Worker, *, until_ready: bool = True) -> None:
        """Raises `StartupFailed`. Returns when the executor is ready, or at its first answer: one
        that was restarted becomes ready only when the control plane has taken what it left.
        """
        worker.started_anew()
        async with self._step("start", self.deadline):
            await self.backend.start(worker.name)
        await failpoint("startup.started")
        async with self._step("ready", self.deadline):
            await self._wait_answer(worker, until_ready=until_ready)

    async def _push(self, worker: Worker, container: Container) -> None:
        """A relay that is just being started is waited for, within the step's deadline."""
        while True:
            try:
                await self.relay.push(worker, container)
            except CallFailed as failure:
                if failure.kind == "http":
                    raise
                await asyncio.sleep(ASK_LONGEST)
            else:
                return

    async def _wait_answer(self, worker: Worker, *, until_ready: bool) -> None:
        pause = ASK_FIRST
        while True:
            status = await self._ask(worker)
            if status is None:
                await self._check_alive(worker)
            elif status.phase in _UP or not until_ready:
                return
            elif status.phase in _ENDED:
                raise StartupFailed(f"executor_{status.phase}", status.reason)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, ASK_LONGEST)

    async def _ask(self, worker: Worker) -> ExecutorStatus | None:
        try:
            worker.status = await self.executors.status(worker)
        except CallFailed:
            return None
        except NotItsExecutor as error:
            raise StartupFailed("another_executor", str(error)) from error
        worker.answered_at = asyncio.get_running_loop().time()
        worker.answering.set()
        return worker.status

    async def _check_alive(self, worker: Worker) -> None:
        container = await self.backend.get(worker.name)
        if container is None or container.state is not ContainerState.EXITED:
            return
        reason = "out_of_memory" if container.out_of_memory else EXITED
        printed = (await self.backend.logs(worker.name, 1000)).decode(errors="replace")
        raise StartupFailed(reason, f"exit code {container.exit_code}: {printed[-500:]}")

    @asynccontextmanager
    async def _step(self, step: str, deadline: float) -> AsyncGenerator[Any]:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            with span(f"startup {step}"):
                async with asyncio.timeout(deadline):
                    yield
        except TimeoutError as error:
            raise StartupFailed(f"{step}_timeout", f"not done within {deadline:g} s") from error
        except BackendError as error:
            raise StartupFailed(error.reason, str(error)) from error
        except CallFailed as error:
            raise StartupFailed(f"{step}_failed", str(error)) from error
        finally:
            took = loop.time() - begun
            self.metrics.startup_seconds.labels(step).observe(took)
            _log.info("startup_step", step=step, seconds=round(took, 3))
