"""Our side of `bench.start`: a manager's parts, and workers as the control plane grants them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import httpx

from chassis.errors import CallFailed
from chassis.ids import new_id
from cli.embedded.secret_files import read_secret
from contracts.executors import ExecutorPhase
from contracts.managers import AgentOffer, Register
from executor_manager import wiring
from executor_manager.containers.errors import BackendError
from executor_manager.services.workers import Stage, Worker, worker_of
from executor_manager.settings import Settings
from executor_manager.wiring import Host
from tests.fixtures.stack import EmbeddedStack

WAIT = 60.0
MOST = 40


@dataclass(frozen=True)
class Granted:
    run_id: UUID
    worker: Worker


@contextlib.asynccontextmanager
async def own_host(
    stack: EmbeddedStack, folder: Path, *, engine: str, image: str
) -> AsyncGenerator[tuple[Settings, Host]]:
    """Registered; its relay runs."""
    settings = Settings(
        state_dir=folder / "s",
        sockets_dir=folder / "k",
        control_plane_url=stack.part("control-plane").address,
        object_store_url=stack.part("object-store").address,
        service_key=read_secret(stack.home / "secrets" / "service-manager"),
        backend="docker",
        docker_host=engine,
        executor_image=image,
        max_workers=MOST,
        log_level="error",
    )
    host = wiring.build_host(settings, new_id())
    await host.backend.open()
    try:
        await _until_relay(host)
        await host.control_plane.register(
            Register(
                manager_id=host.control_plane.manager_id,
                name="bench",
                backend=host.backend.kind,
                max_workers=MOST,
                agents=[AgentOffer(agent="scripted")],
            )
        )
        yield settings, host
    finally:
        await host.startup.warm.drain()
        await host.relay.stop()
        await host.executors.close()
        await host.relay.close()
        await host.client.aclose()
        await host.backend.close()


async def granted(stack: EmbeddedStack, host: Host, count: int) -> list[Granted]:
    """So many fresh workers, each of a session of its own with one message."""
    headers = {"Authorization": f"Bearer {stack.key}"}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=WAIT) as client:
        for _ in range(count):
            body = {"agent": "scripted", "text": "remember a=1"}
            (await client.post("/api/v1/runs", json=body)).raise_for_status()
    found: list[Granted] = []
    async with asyncio.timeout(WAIT):
        while len(found) < count:
            asked = host.control_plane.claim(new_id(), free=count, agents=["scripted"], wait=5)
            runs = await asked
            found += [Granted(run.run_id, worker_of(run.worker, Stage.ACTIVATING)) for run in runs]
    return found


async def one_warm(host: Host) -> None:
    """Made, and waiting."""
    pool = host.startup.warm
    pool.size = 1
    await pool.run_once(host.startup.fresh)
    pool.size = 0
    assert pool.ready == 1, "no warm container came up"


async def paused(host: Host, worker: Worker) -> None:
    """A kernel that has much to do may not freeze all of its processes at once."""
    async with asyncio.timeout(WAIT):
        while True:
            with contextlib.suppress(BackendError):
                await host.backend.pause(worker.name)
                return
            await asyncio.sleep(0.5)


async def until_up(host: Host, worker: Worker) -> None:
    async with asyncio.timeout(WAIT):
        while True:
            with contextlib.suppress(CallFailed):
                status = await host.executors.status(worker)
                if status.phase in {ExecutorPhase.READY, ExecutorPhase.BUSY}:
                    return
            await asyncio.sleep(0.005)


async def until_agent_started(stack: EmbeddedStack, host: Host, one: Granted) -> None:
    """Its command is delivered, and the agent has opened its session: the log says so."""
    told = await host.control_plane.commands([], wait=5)
    mine = [each.command for each in told if each.worker_id == one.worker.id]
    await host.executors.deliver(one.worker, mine)
    query = "SELECT state::text FROM runs WHERE id = $1"
    async with asyncio.timeout(WAIT):
        while True:
            if await stack.value(query, one.run_id) not in {"queued", "claimed"}:
                return
            await asyncio.sleep(0.005)


async def remove(host: Host, worker: Worker) -> None:
    await host.backend.stop(worker.name, 0)
    await host.backend.remove(worker.name)
    await host.relay.delete(worker)
    await host.executors.forget(worker)
    host.workers.drop(worker)
    await host.control_plane.report(worker, "failed", "bench", "its round is over")


async def _until_relay(host: Host) -> None:
    async with asyncio.timeout(WAIT):
        while True:
            await host.relay.supervise()
            with contextlib.suppress(CallFailed):
                await host.relay.ask()
                break
            await asyncio.sleep(0.1)
    await host.relay.supervise()  # it has its routes
