"""The executor's wiring."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from litestar import Litestar
from litestar.di import Provide

from chassis.app import build_litestar
from chassis.clock import SystemClock
from chassis.logs import get_logger
from executor.agents.listener import Loopback
from executor.identity import identity_of
from executor.notes import Notes
from executor.relay import Relay
from executor.reporter import Reporter
from executor.routes.control import HANDLERS
from executor.services.agent_data import AgentData
from executor.services.executor import Executor
from executor.services.frontage import Frontage
from executor.services.saves import Saves
from executor.services.worker import Worker
from executor.settings import Settings
from executor.spool import Spool, SpoolIdentity, SpoolRefused, host_boot_id
from executor.status import Status
from executor.threads import AgentThreads
from executor.workspace.saving import Limits
from executor.workspace.tree import Tree

_log = get_logger()


def build_app(settings: Settings) -> Litestar:
    frontage = Frontage(settings, host_boot_id())

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncGenerator[None]:
        try:
            executor = Executor(await open_worker(settings))
        except SpoolRefused as refused:
            # nothing runs on what may have lost reports: the manager takes a new epoch
            _log.error("spool_refused", reason=refused.reason)  # the reason says it
            frontage.refusal = f"spool_{refused.reason}"
            yield
            return
        async with executor.running():
            frontage.executor = executor
            yield

    return build_litestar(
        service="executor",
        route_handlers=HANDLERS,
        lifespan=[lifespan],
        dependencies={"frontage": Provide(lambda: frontage, sync_to_thread=False)},
    )


async def open_worker(settings: Settings) -> Worker:
    """Raises `SpoolRefused`."""
    clock = SystemClock()
    boot_id = host_boot_id()
    identity = SpoolIdentity(worker_id=settings.worker_id, epoch=settings.epoch, boot_id=boot_id)
    spool = await Spool.open(settings.spool_dir, identity, max_bytes=settings.spool_max_bytes)
    notes = Notes(settings.spool_dir)
    relay = Relay(settings.control_dir, str(settings.worker_id))
    reporter = Reporter(spool)
    threads = AgentThreads(identity_of(settings.agent_uid, settings.agent_gid))
    tree = Tree(settings.workspace_dir, threads)
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
        agent_data=AgentData(settings.workspace_dir, settings.home_dir, threads),
        threads=threads,
        tree=tree,
        loopback=_loopback(settings, threads),
    )


def _loopback(settings: Settings, threads: AgentThreads) -> Loopback | None:
    if settings.agent_dir is None:
        return None
    return Loopback(settings.agent_dir, settings.agent_port, threads.identity)
