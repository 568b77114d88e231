"""The executors as the manager reaches them: over `control/executor.sock`, every call bounded."""

from pathlib import Path
from typing import TypeVar
from uuid import UUID

from chassis.client import ServiceClient
from chassis.errors import CallFailed
from contracts.commands import AnyCommand
from contracts.endpoint import Endpoint
from contracts.executors import (
    EXECUTOR_DELIVER,
    EXECUTOR_LINK_AGENT_DATA,
    EXECUTOR_RESTORE,
    EXECUTOR_STATUS,
    EXECUTOR_SUPERSEDE,
    EXECUTOR_SYNC,
    EXECUTOR_VALIDATE,
    AskWorkspace,
    Deliver,
    ExecutorStatus,
    Supersede,
    WorkspaceState,
)
from contracts.wire import Empty
from executor_manager.containers.places import SOCKET
from executor_manager.services.workers import Worker

Req = TypeVar("Req")
Res = TypeVar("Res")


class NotItsExecutor(Exception):
    """Something else answers on the worker's socket."""


class Executors:
    """All raise `CallFailed`."""

    def __init__(self) -> None:
        self._clients: dict[UUID, ServiceClient] = {}
        self._sockets: dict[UUID, Path] = {}

    def at(self, worker: Worker, control: Path) -> None:
        self._sockets[worker.id] = control / SOCKET

    def socket(self, worker: Worker) -> Path | None:
        return self._sockets.get(worker.id)

    def listens(self, worker: Worker) -> bool:
        """Its socket is there: whether it answers is another question."""
        path = self.socket(worker)
        return path is not None and path.exists()

    async def status(self, worker: Worker) -> ExecutorStatus:
        """Raises `NotItsExecutor`."""
        found = await self._call(worker, EXECUTOR_STATUS, Empty())
        if (found.worker_id, found.epoch) != (worker.id, worker.epoch):
            raise NotItsExecutor(f"it says it is {found.worker_id} in epoch {found.epoch}")
        return found

    async def deliver(self, worker: Worker, commands: list[AnyCommand]) -> list[UUID]:
        body = Deliver(worker_id=worker.id, epoch=worker.epoch, commands=commands)
        return (await self._call(worker, EXECUTOR_DELIVER, body)).done

    async def supersede(self, worker: Worker) -> None:
        body = Supersede(worker_id=worker.id, epoch=worker.epoch)
        await self._call(worker, EXECUTOR_SUPERSEDE, body)

    async def restore(self, worker: Worker) -> WorkspaceState:
        """What is laid over its workspace, anew."""
        return await self._call(worker, EXECUTOR_RESTORE, _ask(worker))

    async def link_agent_data(self, worker: Worker) -> WorkspaceState:
        return await self._call(worker, EXECUTOR_LINK_AGENT_DATA, _ask(worker))

    async def validate(self, worker: Worker) -> WorkspaceState:
        return await self._call(worker, EXECUTOR_VALIDATE, _ask(worker))

    async def sync(self, worker: Worker) -> WorkspaceState:
        """Saved between runs, if it is not already."""
        return await self._call(worker, EXECUTOR_SYNC, _ask(worker))

    async def forget(self, worker: Worker) -> None:
        self._sockets.pop(worker.id, None)
        if (client := self._clients.pop(worker.id, None)) is not None:
            await client.aclose()

    async def close(self) -> None:
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def _call(self, worker: Worker, endpoint: Endpoint[Req, Res], body: Req) -> Res:
        client = self._clients.get(worker.id) or self._connect(worker)
        try:
            return await client.call(endpoint, body)
        except CallFailed as failure:
            # its breaker would keep a restarted executor waiting: we ask at our own pace anyway.
            # Not closed, for another call may be using it; nothing is open in it that answers
            if failure.attempts == 0 and self._clients.get(worker.id) is client:
                del self._clients[worker.id]
            raise

    def _connect(self, worker: Worker) -> ServiceClient:
        client = ServiceClient(
            "http://executor",
            uds=str(self._sockets.get(worker.id, "")),
            target="executor",
            attempts=1,
        )
        self._clients[worker.id] = client
        return client


def _ask(worker: Worker) -> AskWorkspace:
    return AskWorkspace(worker_id=worker.id, epoch=worker.epoch)
