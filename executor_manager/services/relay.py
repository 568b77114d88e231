"""What the relay is told: where upstreams are, and each worker's policy with its token."""

import asyncio
import signal
from pathlib import Path

from chassis.client import ServiceClient
from chassis.errors import CallFailed
from chassis.logs import get_logger
from contracts.relay import (
    RELAY_DELETE,
    RELAY_LIST,
    RELAY_PUT,
    RELAY_ROUTES,
    RelayPolicy,
    RelayRoutes,
    RelayWorkers,
)
from contracts.wire import Empty
from executor_manager.containers.backend import Container, ContainerBackend
from executor_manager.containers.errors import BackendError
from executor_manager.services.relay_process import RelayProcess
from executor_manager.services.ways_out import WaysOut
from executor_manager.services.workers import HAS_PROCESS, Worker, Workers

HUNG_AFTER = 5
"""Deadlines missed in a row before it is ended by force."""

_log = get_logger()


class Relay:
    """Without a process of ours it is a service of its own: told and asked, never started."""

    def __init__(
        self,
        *,
        process: RelayProcess | None,
        admin_socket: Path,
        routes: RelayRoutes,
        ways_out: WaysOut,
        workers: Workers,
        backend: ContainerBackend,
    ) -> None:
        self._process = process
        self._admin_socket = admin_socket
        self._routes = routes
        self._ways_out = ways_out
        self._workers = workers
        self._backend = backend
        self._admin = self._connect()
        self._boot = ""
        self._missed = 0

    @property
    def how_to_have_it(self) -> str:
        if self._process is not None:
            return "it is being started: see relay.log"
        return f"see that the relay's service runs and that {self._admin_socket} is its socket"

    async def close(self) -> None:
        await self._admin.aclose()

    async def push(self, worker: Worker, container: Container) -> None:
        """Raises `CallFailed`. Without a token there is nothing to push: the relay may know one."""
        if not worker.token:
            return
        pushed = worker.relayed
        policy = RelayPolicy(
            worker_id=worker.id,
            epoch=worker.epoch,
            control_dir=str(container.directories.control),
            token=worker.token,
            agent_dir=str(container.directories.agent),
            upstreams=self._ways_out.upstreams(worker.id, worker.egress),
            tunnels=self._ways_out.tunnels(worker.egress),
        )
        await self._admin.call(RELAY_PUT, policy, path={"worker_id": str(worker.id)})
        worker.pushed = pushed

    async def delete(self, worker: Worker) -> None:
        """Its sockets go with its directories anyway; a relay that is away has forgotten it."""
        try:
            await self._admin.call(RELAY_DELETE, Empty(), path={"worker_id": str(worker.id)})
        except CallFailed as failure:
            _log.info("relay_delete_failed", error=str(failure))

    async def ask(self) -> RelayWorkers:
        """Raises `CallFailed`."""
        return await self._admin.call(RELAY_LIST, Empty())

    async def supervise(self) -> None:
        """Starts it if there is none and it is ours; after its restart all is pushed again.

        So is what it did not take when it changed: a policy that became narrower must not wait.
        """
        try:
            found = await self.ask()
        except CallFailed as failure:
            await self._restart(failure)
            return
        self._missed = 0
        if found.boot != self._boot or found.routes != self._routes:
            found = await self._admin.call(RELAY_ROUTES, self._routes)
        for worker in self._workers:
            missing = found.boot != self._boot or worker.id not in found.workers
            if (missing or worker.unpushed) and worker.stage in HAS_PROCESS:
                await self._push_known(worker)
        self._boot = found.boot

    async def stop(self) -> None:
        if self._process is not None:
            await asyncio.to_thread(self._process.end)

    async def _push_known(self, worker: Worker) -> None:
        try:
            container = await self._backend.get(worker.name)
            if container is not None:
                await self.push(worker, container)
        except (BackendError, CallFailed) as error:
            _log.warning("relay_push_failed", worker=worker.id, error=str(error))

    async def _restart(self, failure: CallFailed) -> None:
        self._missed += 1
        if failure.kind == "timeout" and self._missed < HUNG_AFTER:
            return
        if self._process is None:
            if self._missed % HUNG_AFTER == 1:
                _log.warning("relay_away", missed=self._missed, error=str(failure))
        else:
            await self._start(self._process, hangs=failure.kind == "timeout")
        if failure.attempts == 0:
            # asked every second: its breaker would only delay the first answer. Not closed, for
            # another call may be using it
            self._admin = self._connect()

    async def _start(self, process: RelayProcess, *, hangs: bool) -> None:
        if hangs:
            _log.error("relay_hangs", missed=self._missed)
            await asyncio.to_thread(process.end, signal.SIGKILL)
        await asyncio.to_thread(process.start)

    def _connect(self) -> ServiceClient:
        return ServiceClient(
            "http://relay", uds=str(self._admin_socket), target="relay", attempts=1
        )
