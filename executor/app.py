"""The executor's wiring."""

import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from chassis.clock import SystemClock
from chassis.logs import get_logger
from executor.agents.listener import Loopback
from executor.http_routes import Router
from executor.http_server import Server
from executor.identity import Identity, identity_of
from executor.notes import Notes
from executor.relay import Relay
from executor.reporter import Reporter
from executor.routes.control import control_routes
from executor.routes.files import FileRoutes
from executor.routes.terminals import terminal_routes
from executor.services.agent_data import AgentData
from executor.services.executor import Executor
from executor.services.frontage import Frontage
from executor.services.saves import Saves
from executor.services.worker import Worker
from executor.settings import Settings
from executor.spool import Spool, SpoolIdentity, SpoolRefused, host_boot_id
from executor.status import Status
from executor.threads import AgentThreads
from executor.workspace.tree import Tree
from snapshots.manifest import Limits

_log = get_logger()


class App:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._frontage = Frontage(settings, settings.boot_id or host_boot_id())
        self.router = Router(
            [
                *control_routes(self._frontage),
                *FileRoutes(self._frontage.files).routes(),
                *terminal_routes(self._frontage.attach, self._frontage.run_command),
            ]
        )

    @asynccontextmanager
    async def running(
        self, listener: socket.socket, *, graceful_seconds: float = 10.0
    ) -> AsyncGenerator[None]:
        """Answers and works within; at its end it finishes what was asked, then ends the work."""
        server = Server(self.router, self.router.streams)
        await server.open(listener)
        try:
            async with self._working():
                try:
                    yield
                finally:
                    await server.end(graceful_seconds)
        finally:
            await server.end(0)

    @asynccontextmanager
    async def _working(self) -> AsyncGenerator[None]:
        try:
            executor = Executor(await open_worker(self._settings))
        except SpoolRefused as refused:
            # nothing runs on what may have lost reports: the manager takes a new epoch
            _log.error("spool_refused", reason=refused.reason)  # the reason says it
            self._frontage.refusal = f"spool_{refused.reason}"
            yield
            return
        async with executor.running():
            self._frontage.executor = executor
            yield


async def open_worker(settings: Settings) -> Worker:
    """Raises `SpoolRefused`."""
    # first: it changes the groups of the whole process
    threads = AgentThreads(identity_of(settings.agent_uid, settings.agent_gid))
    threads.fill()
    tree = Tree(settings.workspace_dir, threads)
    clock = SystemClock()
    boot_id = settings.boot_id or host_boot_id()
    identity = SpoolIdentity(worker_id=settings.worker_id, epoch=settings.epoch, boot_id=boot_id)
    spool = await Spool.open(settings.spool_dir, identity, max_bytes=settings.spool_max_bytes)
    notes = Notes(settings.spool_dir)
    relay = Relay(settings.control_dir, str(settings.worker_id))
    reporter = Reporter(spool)
    saves = Saves(
        tree,
        relay,
        notes,
        reporter,
        epoch=settings.epoch,
        limits=Limits(settings.max_entries, settings.max_bytes),
        checkpoint_interval=settings.checkpoint_interval_seconds,
        clock=clock,
    )
    return Worker(
        settings=settings,
        boot_id=boot_id,
        clock=clock,
        status=Status(clock),
        relay=relay,
        spool=spool,
        notes=notes,
        reporter=reporter,
        saves=saves,
        agent_data=AgentData(
            settings.workspace_dir, settings.home_dir, threads, settings.agent_profiles_dir
        ),
        threads=threads,
        tree=tree,
        loopback=_loopback(settings, threads.identity),
    )


def _loopback(settings: Settings, identity: Identity | None) -> Loopback | None:
    if settings.agent_dir is None:
        return None
    return Loopback(settings.agent_dir, settings.agent_port, identity)
