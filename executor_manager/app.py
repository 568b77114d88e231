"""Wires the executor-manager: backend, relay, services, loops, and its own small HTTP API."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from uuid import UUID

from litestar import Litestar

from chassis.app import build_litestar
from chassis.client import ServiceClient
from chassis.errors import CallFailed, DependencyUnavailable
from chassis.logs import get_logger
from chassis.loop import Loop
from contracts.workers import AgentOffer, Registered, RelayRoutes
from executor_manager.containers.backend import ContainerBackend
from executor_manager.containers.errors import BackendError
from executor_manager.containers.places import Owner
from executor_manager.containers.process import ProcessBackend, Program
from executor_manager.loops import claim, commands
from executor_manager.loops.claim import ClaimLoop
from executor_manager.loops.commands import CommandLoop
from executor_manager.loops.heartbeat import HeartbeatLoop
from executor_manager.loops.idle import IdleLoop
from executor_manager.loops.status import StatusLoop
from executor_manager.loops.supervision import SupervisionLoop
from executor_manager.metrics import ManagerMetrics
from executor_manager.routes.version import version
from executor_manager.services.activation import Activation, Patience
from executor_manager.services.agents import available_agents
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.delivery import Delivery
from executor_manager.services.draining import Draining
from executor_manager.services.duties import Duties
from executor_manager.services.executors import Executors
from executor_manager.services.registration import Registration
from executor_manager.services.relay import Relay
from executor_manager.services.relay_process import RelayProcess
from executor_manager.services.retirement import Retirement
from executor_manager.services.startup import Startup
from executor_manager.services.state_directory import host_name
from executor_manager.services.verdicts import Verdicts
from executor_manager.services.workers import Within, Workers
from executor_manager.settings import Settings

EXECUTOR_PATH = "/usr/local/bin:/usr/bin:/bin"
STARTING_DEADLINES = 4
"""A start may wait for others before it: for so many deadlines it counts as answering."""

_log = get_logger()


class Manager:
    def __init__(self, settings: Settings, manager_id: UUID) -> None:
        self._settings = settings
        self._program = _program(settings)
        self.metrics = ManagerMetrics()
        self.backend: ContainerBackend = ProcessBackend(settings.state_dir, self._program)
        client = ServiceClient(
            settings.control_plane_url, key=settings.service_key, target="control_plane"
        )
        self._client = client
        self.control_plane = ControlPlane(client, manager_id)
        self.workers = Workers(settings.max_workers)
        self.executors = Executors()
        self.duties = Duties()
        self.relay = _relay(settings, self.workers, self.backend)
        self._startup = Startup(
            backend=self.backend,
            relay=self.relay,
            executors=self.executors,
            metrics=self.metrics,
            deadline=settings.activate_deadline_seconds,
        )
        self._activation = Activation(
            workers=self.workers,
            startup=self._startup,
            control_plane=self.control_plane,
            metrics=self.metrics,
            patience=Patience(
                restarts=settings.restarts,
                backoff=settings.restart_backoff_seconds,
                healthy_after=settings.healthy_after_seconds,
            ),
            slots=asyncio.Semaphore(settings.activations_at_once),
        )
        self._retirement = Retirement(
            workers=self.workers,
            backend=self.backend,
            executors=self.executors,
            relay=self.relay,
            startup=self._startup,
            control_plane=self.control_plane,
            metrics=self.metrics,
            stop_grace=settings.stop_grace_seconds,
            supersede_deadline=settings.supersede_deadline_seconds,
        )
        self._delivery = Delivery(
            workers=self.workers,
            backend=self.backend,
            executors=self.executors,
            duties=self.duties,
            retirement=self._retirement,
        )
        self._registration = Registration(
            manager_id=manager_id,
            name=settings.name or host_name(),
            max_workers=settings.max_workers,
            control_plane=self.control_plane,
            workers=self.workers,
            duties=self.duties,
            activation=self._activation,
            probe=self._probe(),
        )
        self._status = StatusLoop(workers=self.workers, executors=self.executors)
        self._loops: dict[str, Loop] = {}
        self._heartbeat: HeartbeatLoop | None = None

    @asynccontextmanager
    async def running(self, _app: Litestar) -> AsyncGenerator[None]:
        """Until the app ends; then a drain, where that is wanted."""
        await self.backend.open()
        self._loop("relay", self._settings.relay_interval_seconds, self.relay.supervise)
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
        if not self.control_plane.registered.is_set() or self.control_plane.stale.is_set():
            how = "see that it runs, and that BERTH_CONTROL_PLANE_URL and the service key are right"
            raise DependencyUnavailable("control_plane", how)

    async def check_relay(self) -> None:
        try:
            await self.relay.ask()
        except CallFailed as error:
            raise DependencyUnavailable("relay", "it is being started: see relay.log") from error

    async def check_backend(self) -> None:
        try:
            await self.backend.list()
        except BackendError as error:
            raise DependencyUnavailable("container_backend", str(error)) from error

    async def _live(self) -> None:
        registered = await self._registration.until_registered()
        self._start_loops(registered)
        await self._registration.keep()

    def _start_loops(self, registered: Registered) -> None:
        settings = self._settings
        self._startup.outage_grace = registered.outage_grace_seconds
        self._heartbeat = HeartbeatLoop(
            control_plane=self.control_plane,
            workers=self.workers,
            verdicts=Verdicts(
                duties=self.duties,
                retirement=self._retirement,
                remove_after=registered.remove_after_seconds,
                unsaved_keep=settings.unsaved_keep_seconds,
            ),
            within=Within(
                answered=settings.answered_within_seconds,
                starting=STARTING_DEADLINES * settings.activate_deadline_seconds,
            ),
        )
        claims = ClaimLoop(
            control_plane=self.control_plane,
            registration=self._registration,
            workers=self.workers,
            wait=settings.claim_wait_seconds,
        )
        told = CommandLoop(
            control_plane=self.control_plane,
            delivery=self._delivery,
            wait=settings.commands_wait_seconds,
        )
        idle = IdleLoop(
            workers=self.workers,
            duties=self.duties,
            control_plane=self.control_plane,
            idle_after=registered.idle_after_seconds,
        )
        self._loop("status", settings.status_interval_seconds, self._status.run_once)
        self._loop("heartbeat", registered.heartbeat_seconds, self._heartbeat.run_once)
        self._loop(
            "supervision", settings.supervision_interval_seconds, self._supervision().run_once
        )
        self._loop("commands", commands.INTERVAL, told.run_once)
        self._loop("idle", settings.idle_interval_seconds, idle.run_once)
        self._loop("claim", claim.INTERVAL, claims.run_once)

    def _supervision(self) -> SupervisionLoop:
        return SupervisionLoop(
            workers=self.workers,
            backend=self.backend,
            executors=self.executors,
            duties=self.duties,
            activation=self._activation,
            metrics=self.metrics,
        )

    def _loop(self, name: str, interval: float, run_once: Callable[[], Awaitable[object]]) -> None:
        loop = Loop(name, interval, run_once, self.metrics)
        self._loops[name] = loop
        loop.start()

    async def _drain(self) -> None:
        if self._heartbeat is None:
            return  # never registered: there is nobody to drain to
        self._heartbeat.draining = True
        await self._loops["claim"].stop()
        _log.info("draining", workers=sum(1 for _ in self.workers))
        await Draining(
            workers=self.workers,
            backend=self.backend,
            control_plane=self.control_plane,
            hurry=self._loops["heartbeat"].wake,
            deadline=self._settings.drain_deadline_seconds,
            stop_grace=self._settings.stop_grace_seconds,
        ).run()

    async def _stop(self) -> None:
        for loop in self._loops.values():
            await loop.stop()
        await self._status.stop()
        await self._delivery.stop()
        await self.duties.stop()
        if self._settings.drain_on_stop:
            await self.relay.stop()
        await self.executors.close()
        await self.relay.close()
        await self._client.aclose()
        await self.backend.close()

    def _probe(self) -> Callable[[], Awaitable[list[AgentOffer]]]:
        return partial(
            available_agents,
            self._program.argv[0],
            self._program.environment,
            self._settings.executor_uid,
            self._settings.executor_gid,
        )


def build_app(settings: Settings, manager_id: UUID) -> Litestar:
    manager = Manager(settings, manager_id)
    return build_litestar(
        service="executor_manager",
        route_handlers=[version],
        checks={
            "control_plane": manager.check_control_plane,
            "relay": manager.check_relay,
            "container_backend": manager.check_backend,
        },
        metrics=manager.metrics,
        lifespan=[manager.running],
    )


def _program(settings: Settings) -> Program:
    """An executor's environment is made here, from nothing: what is ours does not leak into it."""
    own: dict[str, str] = {}
    if settings.executor_python is None:
        own["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return Program(
        argv=(str(settings.executor_python or sys.executable), "-m", "executor"),
        environment={
            "PATH": EXECUTOR_PATH,
            "LANG": "C.UTF-8",
            **own,
            "BERTH_LOG_LEVEL": settings.log_level,
            "BERTH_TRACE_EXPORTER": settings.trace_exporter,
            "BERTH_FAILPOINTS": settings.executor_failpoints,
            **settings.executor_env_json,
        },
        owner=Owner(settings.executor_uid, settings.executor_gid),
        log_bytes=settings.executor_log_bytes,
    )


def _relay(settings: Settings, workers: Workers, backend: ContainerBackend) -> Relay:
    process = RelayProcess(
        settings.state_dir / "relay",
        wait_seconds=settings.relay_wait_seconds,
        log_level=settings.log_level,
    )
    routes = RelayRoutes(
        control_plane_url=settings.control_plane_url,
        object_store_url=settings.object_store_url,
    )
    return Relay(process, routes, workers, backend)
