"""Registers this manager, again whenever it was superseded; takes in the workers it is given."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from chassis.errors import BerthError, CallFailed
from chassis.logs import get_logger
from chassis.telemetry import span, use_traceparent
from contracts.managers import AgentOffer, ClaimedRun, Register, Registered
from contracts.workers import WorkerGrant
from executor_manager.containers.errors import BackendError
from executor_manager.services.activation import Activation
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.duties import Duties, Gravity
from executor_manager.services.orders import OrderBook
from executor_manager.services.workers import HAS_PROCESS, Stage, Worker, Workers, worker_of

RETRY_FIRST = 0.2
RETRY_LONGEST = 10.0

_log = get_logger()


@dataclass(slots=True, kw_only=True)
class Registration:
    manager_id: UUID
    name: str
    url: str
    """Where gateways reach us; empty: nowhere."""
    orders: OrderBook
    control_plane: ControlPlane
    workers: Workers
    duties: Duties
    activation: Activation
    probe: Callable[[], Awaitable[list[AgentOffer]]]
    """What agents can run here; raises `BerthError` when that cannot be known."""
    agents: list[str] = field(default_factory=list[str])

    async def until_registered(self) -> Registered:
        pause = RETRY_FIRST
        while True:
            try:
                return await self._register()
            except (BerthError, CallFailed) as error:
                _log.warning("registration_failed", error=str(error), pause=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_LONGEST)

    async def keep(self) -> None:
        """Again after each time that another registration superseded this one."""
        while True:
            await self.control_plane.stale.wait()
            _log.warning("registration_superseded")
            await self.until_registered()
            await asyncio.sleep(RETRY_LONGEST / 2)  # two with one identity must not race

    def accept(self, run: ClaimedRun) -> None:
        """A claimed run: a fresh worker is started; for another its command is on its way.

        In the trace of the message that the run answers; the worker's start too.
        """
        with use_traceparent(run.traceparent or None), span("claimed", run=str(run.run_id)):
            self._take(run)

    def _take(self, run: ClaimedRun) -> None:
        worker = self.workers.get(run.worker.worker_id)
        if worker is not None:
            self._renew(worker, run.worker)
        elif run.fresh_worker:
            worker = worker_of(run.worker, Stage.ACTIVATING)
            self.workers.add(worker)
            work = partial(self.activation.activate, worker)
            self.duties.start(worker, Gravity.START, work)
        else:
            self._adopt(run.worker)

    async def _register(self) -> Registered:
        offers = await self.probe()
        backend = self.activation.startup.backend
        self.agents = [offer.agent for offer in offers if not offer.missing]
        answer = await self.control_plane.register(
            Register(
                manager_id=self.manager_id,
                name=self.name,
                url=self.url,
                backend=backend.kind,
                max_workers=self.orders.own_max_workers,
                agents=offers,
                isolation=backend.capabilities.kept(),
                containers=backend.offer,
                preflight=[*backend.preflight],
            )
        )
        _log.info(
            "registered",
            incarnation=answer.incarnation,
            workers=len(answer.workers),
            agents=self.agents,
        )
        self.orders.follow(answer.orders)
        for grant in answer.workers:
            worker = self.workers.get(grant.worker_id)
            if worker is not None and worker.token:
                self._renew(worker, grant)
            else:
                self._adopt(grant)
        return answer

    def _adopt(self, grant: WorkerGrant) -> None:
        worker = worker_of(grant, Stage.RESTARTING)
        self.workers.add(worker)
        self.duties.start(worker, Gravity.START, partial(self.activation.adopt, worker))

    def _renew(self, worker: Worker, grant: WorkerGrant) -> None:
        worker.limits = grant.limits
        worker.egress_version = grant.egress_version
        now = grant.token or worker.token, grant.egress
        if now == (worker.token, worker.egress):
            return
        worker.token, worker.egress = now
        if worker.stage in HAS_PROCESS:
            self.duties.start(worker, Gravity.START, partial(self._push, worker))

    async def _push(self, worker: Worker) -> None:
        """The former token stays valid until this one is used, so a failure here is no hurry."""
        try:
            container = await self.activation.startup.backend.get(worker.name)
            if container is not None:
                await self.activation.startup.relay.push(worker, container)
        except (BackendError, CallFailed) as error:
            _log.warning("token_push_failed", error=str(error))
