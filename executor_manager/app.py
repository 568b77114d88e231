"""The executor-manager's life: registers, runs its loops, drains or leaves; its own small API."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

from litestar import Litestar

from chassis.app import build_litestar
from chassis.errors import CallFailed, DependencyUnavailable
from chassis.logs import get_logger
from chassis.loop import Loop
from contracts.managers import Registered
from executor_manager import wiring
from executor_manager.containers.errors import BackendError
from executor_manager.loops import claim, commands, drain
from executor_manager.loops.claim import ClaimLoop
from executor_manager.loops.commands import CommandLoop
from executor_manager.loops.drain import DrainLoop
from executor_manager.loops.heartbeat import HeartbeatLoop
from executor_manager.loops.idle import IdleLoop
from executor_manager.loops.status import StatusLoop
from executor_manager.loops.supervision import SupervisionLoop
from executor_manager.routes.backend import backend_route
from executor_manager.routes.terminals import exec_route, terminal_route
from executor_manager.routes.version import version
from executor_manager.routes.worker_logs import worker_logs_route
from executor_manager.routes.workspace import workspace_route
from executor_manager.services.agents import available_agents
from executor_manager.services.draining import Draining
from executor_manager.services.orders import OrderBook
from executor_manager.services.registration import Registration
from executor_manager.services.state_directory import host_name
from executor_manager.services.terminals import Terminals
from executor_manager.services.verdicts import Verdicts
from executor_manager.services.worker_logs import WorkerLogs
from executor_manager.services.workers import Within
from executor_manager.services.workspaces import Workspaces
from executor_manager.settings import Settings

STARTING_DEADLINES = 4
"""A start may wait for others before it: for so many deadlines it counts as answering."""

WARM_INTERVAL = 1.0

_log = get_logger()


class Manager:
    def __init__(self, settings: Settings, manager_id: UUID) -> None:
        self._settings = settings
        self.host = host = wiring.build_host(settings, manager_id)
        ask = wiring.build_ask(settings, host.backend)
        self._activation = wiring.build_activation(settings, host)
        self._retirement = wiring.build_retirement(settings, host)
        self._delivery = wiring.build_delivery(host, self._retirement)
        self.workspaces = Workspaces(
            control_plane=host.control_plane, workers=host.workers, executors=host.executors
        )
        self.logs = WorkerLogs(
            control_plane=host.control_plane, workers=host.workers, backend=host.backend
        )
        self.terminals = Terminals(
            control_plane=host.control_plane, workers=host.workers, executors=host.executors
        )
        self._orders = OrderBook(
            workers=host.workers,
            warm=host.startup.warm,
            own_max_workers=settings.max_workers,
            own_warm=settings.warm_containers,
        )
        self._registration = Registration(
            manager_id=manager_id,
            name=settings.name or host_name(),
            url=settings.advertise_url or wiring.own_url(settings),
            orders=self._orders,
            control_plane=host.control_plane,
            workers=host.workers,
            duties=host.duties,
            activation=self._activation,
            probe=partial(available_agents, ask),
        )
        self._status = StatusLoop(workers=host.workers, executors=host.executors)
        self._loops: dict[str, Loop] = {}
        self._heartbeat: HeartbeatLoop | None = None

    @asynccontextmanager
    async def running(self, _app: Litestar) -> AsyncGenerator[None]:
        """Until the app ends; then a drain, where that is wanted."""
        self._loop("relay", self._settings.relay_interval_seconds, self.host.relay.supervise)
        living = asyncio.create_task(self._live(), name="manager")
        try:
            yield
            if self._settings.drain_on_stop:
                await self._drain()
        finally:
            living.cancel()
            await asyncio.gather(living, return_exceptions=True)
            await self._stop()

    async def check_control_plane(self) -> None:
        control_plane = self.host.control_plane
        if not control_plane.registered.is_set() or control_plane.stale.is_set():
            how = "see that it runs, and that BERTH_CONTROL_PLANE_URL and the service key are right"
            raise DependencyUnavailable("control_plane", how)

    async def check_relay(self) -> None:
        try:
            await self.host.relay.ask()
        except CallFailed as error:
            raise DependencyUnavailable("relay", self.host.relay.how_to_have_it) from error

    async def check_backend(self) -> None:
        try:
            await self.host.backend.list()
        except BackendError as error:
            raise DependencyUnavailable("container_backend", str(error)) from error

    async def _live(self) -> None:
        registered = await self._registration.until_registered()
        self._start_loops(registered)
        await self._registration.keep()

    def _start_loops(self, registered: Registered) -> None:
        settings, host = self._settings, self.host
        host.startup.outage_grace = registered.outage_grace_seconds
        self._heartbeat = self._heartbeat_loop(registered)
        claims = ClaimLoop(
            control_plane=host.control_plane,
            registration=self._registration,
            workers=host.workers,
            wait=settings.claim_wait_seconds,
        )
        told = CommandLoop(
            control_plane=host.control_plane,
            delivery=self._delivery,
            wait=settings.commands_wait_seconds,
        )
        idle = IdleLoop(
            workers=host.workers,
            duties=host.duties,
            control_plane=host.control_plane,
            idle_after=registered.idle_after_seconds,
            idle_after_when_full=settings.idle_after_when_full_seconds,
        )
        watch = self._supervision_loop()
        warm = partial(host.startup.warm.run_once, host.startup.fresh)
        self._loop("status", settings.status_interval_seconds, self._status.run_once)
        self._loop("heartbeat", registered.heartbeat_seconds, self._heartbeat.run_once)
        self._loop("supervision", settings.supervision_interval_seconds, watch.run_once)
        self._loop("commands", commands.INTERVAL, told.run_once)
        self._loop("idle", settings.idle_interval_seconds, idle.run_once)
        self._loop("warm", WARM_INTERVAL, warm)
        self._loop("drain", drain.INTERVAL, self._drain_loop().run_once)
        self._loop("claim", claim.INTERVAL, claims.run_once)

    def _heartbeat_loop(self, registered: Registered) -> HeartbeatLoop:
        settings = self._settings
        return HeartbeatLoop(
            control_plane=self.host.control_plane,
            workers=self.host.workers,
            verdicts=Verdicts(
                duties=self.host.duties,
                retirement=self._retirement,
                remove_after=registered.remove_after_seconds,
            ),
            orders=self._orders,
            within=Within(
                answered=settings.answered_within_seconds,
                starting=STARTING_DEADLINES * settings.activate_deadline_seconds,
            ),
        )

    def _drain_loop(self) -> DrainLoop:
        return DrainLoop(
            workers=self.host.workers,
            control_plane=self.host.control_plane,
            orders=self._orders,
        )

    def _supervision_loop(self) -> SupervisionLoop:
        return SupervisionLoop(
            workers=self.host.workers,
            backend=self.host.backend,
            executors=self.host.executors,
            duties=self.host.duties,
            activation=self._activation,
            metrics=self.host.metrics,
        )

    def _loop(self, name: str, interval: float, run_once: Callable[[], Awaitable[object]]) -> None:
        loop = Loop(name, interval, run_once, self.host.metrics)
        self._loops[name] = loop
        loop.start()

    async def _drain(self) -> None:
        if self._heartbeat is None:
            return  # never registered: there is nobody to drain to
        self._heartbeat.draining = self._orders.ended = True
        self.host.startup.warm.size = 0
        await self._loops["claim"].stop()
        _log.info("draining", workers=sum(1 for _ in self.host.workers))
        await Draining(
            workers=self.host.workers,
            backend=self.host.backend,
            control_plane=self.host.control_plane,
            hurry=self._loops["heartbeat"].wake,
            deadline=self._settings.drain_deadline_seconds,
            stop_grace=self._settings.stop_grace_seconds,
        ).run()

    async def _stop(self) -> None:
        for loop in self._loops.values():
            await loop.stop()
        await self._status.stop()
        await self._delivery.stop()
        await self.host.duties.stop()
        await self.host.startup.warm.drain()
        if self._settings.drain_on_stop:
            await self.host.relay.stop()
        await self.host.executors.close()
        await self.host.relay.close()
        await self.host.client.aclose()
        await self.host.backend.close()


def build_app(manager: Manager) -> Litestar:
    """Of a manager whose backend is open."""
    return build_litestar(
        service="executor_manager",
        route_handlers=[
            version,
            backend_route(manager.host.backend),
            workspace_route(manager.workspaces),
            worker_logs_route(manager.logs),
            terminal_route(manager.terminals),
            exec_route(manager.terminals),
        ],
        checks={
            "control_plane": manager.check_control_plane,
            "relay": manager.check_relay,
            "container_backend": manager.check_backend,
        },
        metrics=manager.host.metrics,
        lifespan=[manager.running],
    )
