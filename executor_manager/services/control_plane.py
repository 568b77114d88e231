"""The control plane as this manager calls it: every call carries the newest incarnation."""

import asyncio
from collections.abc import Callable
from typing import Literal, TypeVar
from uuid import UUID

from chassis.client import ServiceClient
from chassis.errors import CallFailed, DependencyUnavailable
from chassis.logs import get_logger
from contracts.endpoint import Endpoint
from contracts.errors import Code
from contracts.managers import (
    ASK_STOP,
    CLAIM,
    COMMANDS,
    HEARTBEAT,
    REGISTER,
    WORKER_CHANGE,
    AskStop,
    Claim,
    ClaimedRun,
    Heartbeat,
    HeartbeatAnswer,
    PollCommands,
    Register,
    Registered,
    WorkerChange,
    WorkerCommand,
    WorkerReportedState,
)
from contracts.tickets import REDEEM_TICKET, Redeemed, RedeemTicket
from executor_manager.services.workers import Worker

Req = TypeVar("Req")
Res = TypeVar("Res")

REPORT_FIRST = 0.2
REPORT_LONGEST = 5.0

_log = get_logger()


class ControlPlane:
    """All raise `CallFailed`. `stale` is set when this incarnation was superseded."""

    def __init__(self, client: ServiceClient, manager_id: UUID) -> None:
        self.manager_id = manager_id
        self.stale = asyncio.Event()
        self.registered = asyncio.Event()
        self._client = client
        self._incarnation = 0

    async def register(self, ask: Register) -> Registered:
        answer = await self._client.call(REGISTER, ask)
        self._incarnation = answer.incarnation
        self.stale.clear()
        self.registered.set()
        return answer

    async def heartbeat(
        self, workers: list[WorkerReportedState], *, draining: bool
    ) -> HeartbeatAnswer:
        """Never held back by an open breaker: leases run out while it is."""
        return await self._call(
            HEARTBEAT,
            lambda now: Heartbeat(incarnation=now, draining=draining, workers=workers),
            paced=True,
        )

    async def claim(
        self, claim_id: UUID, *, free: int, agents: list[str], wait: float
    ) -> list[ClaimedRun]:
        answer = await self._call(
            CLAIM,
            lambda now: Claim(
                incarnation=now, claim_id=claim_id, free=free, agents=agents, wait_seconds=wait
            ),
        )
        return answer.runs

    async def commands(self, done: list[UUID], *, wait: float) -> list[WorkerCommand]:
        answer = await self._call(
            COMMANDS, lambda now: PollCommands(incarnation=now, done=done, wait_seconds=wait)
        )
        return answer.commands

    async def ask_stop(self, worker: Worker, *, drain: bool) -> bool:
        answer = await self._call(
            ASK_STOP,
            lambda now: AskStop(incarnation=now, epoch=worker.epoch, drain=drain),
            worker_id=str(worker.id),
        )
        return answer.granted

    async def redeem(self, ticket: str) -> Redeemed:
        """Once: a ticket whose redemption got no answer is spent."""
        if not self.registered.is_set():
            raise DependencyUnavailable("control_plane", "ask again: we are not registered yet")
        ask = RedeemTicket(incarnation=self._incarnation, ticket=ticket)
        return await self._client.call(
            REDEEM_TICKET, ask, path={"manager_id": str(self.manager_id)}
        )

    async def report(
        self,
        worker: Worker,
        change: Literal["ready", "failed", "stopped", "stuck", "removed"],
        reason: str = "",
        detail: str = "",
    ) -> None:
        """Until it is heard; what the control plane refuses is dropped: its verdicts decide."""
        steps = list(worker.steps) if change in {"ready", "failed"} else []
        pause = REPORT_FIRST
        while True:
            try:
                await self._call(
                    WORKER_CHANGE,
                    lambda now: WorkerChange(
                        incarnation=now,
                        epoch=worker.epoch,
                        change=change,
                        reason=reason,
                        detail=detail,
                        steps=steps,
                        disk=worker.disk,
                        image=worker.image,
                    ),
                    worker_id=str(worker.id),
                )
            except CallFailed as failure:
                if _refused(failure):
                    _log.warning("change_refused", change=change, error=str(failure))
                    return
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, REPORT_LONGEST)

    async def _call(
        self,
        endpoint: Endpoint[Req, Res],
        body: Callable[[int], Req],
        *,
        paced: bool = False,
        **path: str,
    ) -> Res:
        await self.registered.wait()
        incarnation = self._incarnation
        path = {"manager_id": str(self.manager_id), **path}
        try:
            return await self._client.call(endpoint, body(incarnation), path=path, paced=paced)
        except CallFailed as failure:
            if _superseded(failure) and incarnation == self._incarnation:
                self.stale.set()
            raise


def _superseded(failure: CallFailed) -> bool:
    return failure.code in {Code.STALE_INCARNATION, Code.NOT_FOUND}


def _refused(failure: CallFailed) -> bool:
    return (
        failure.status is not None
        and 400 <= failure.status < 500
        and failure.status not in {401, 403, 408, 429}
        and failure.code != Code.STALE_INCARNATION
    )
