"""A worker's egress policy on its way: into the executor's environment, and to the relay, again
after each restart, and as soon as it changes.
"""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from contracts.egress import EgressPolicy, EgressProfile
from contracts.workers import WorkerGrant
from executor_manager.containers.process import ProcessBackend
from tests.executor_manager.managers import (
    Desk,
    Start,
    container_of,
    environment,
    executor_pid,
    grant,
    until,
    until_answered,
)
from tests.executor_manager.relays import Bound
from tests.fixtures.package_indexes import PackageIndexes, package_indexes

PACKAGES = EgressPolicy(profile=EgressProfile.PACKAGES)


@pytest.fixture
async def indexes() -> AsyncGenerator[PackageIndexes]:
    async with package_indexes() as indexes:
        yield indexes


def places(indexes: PackageIndexes) -> dict[str, str]:
    return {
        "pypi_url": indexes.pypi_url,
        "pypi_file_hosts": indexes.files_url,
        "npm_url": indexes.npm_url,
    }


def reading_packages() -> WorkerGrant:
    return msgspec.structs.replace(grant(), egress=PACKAGES, egress_version="first")


async def status(agent: Bound, target: str = "/pypi/simple/berth-greeting/") -> int:
    answer = await agent.ask(target, method="GET")
    return int(answer.split()[1]) if answer else 0


async def agent_of(backend: ProcessBackend, worker: WorkerGrant) -> Bound:
    container = await container_of(backend, worker)
    return Bound(worker.worker_id, container.directories.agent / "agent.sock")


async def becomes(agent: Bound, wanted: int) -> None:
    async def settled() -> None:
        while True:
            try:
                if await status(agent) == wanted:
                    return
            except OSError:
                pass  # the relay is away
            await asyncio.sleep(0.02)

    await asyncio.wait_for(settled(), 20)


async def test_policy__is_in_the_executors_environment_and_at_the_relay(
    start: Start, desk: Desk, backend: ProcessBackend, indexes: PackageIndexes
) -> None:
    await start(**places(indexes))
    worker, plain = desk.offer(reading_packages()), desk.offer()
    for one in (worker, plain):
        await desk.ready(one)
    told = environment(executor_pid(await container_of(backend, worker)))
    assert b"BERTH_EGRESS=pypi,npm\0" in told
    told = environment(executor_pid(await container_of(backend, plain)))
    assert b"BERTH_EGRESS=\0" in told
    assert await status(await agent_of(backend, worker)) == 200
    assert await status(await agent_of(backend, plain)) == 403
    assert indexes.targets("pypi") == ["/simple/berth-greeting/"]


async def test_policy__is_pushed_again_after_a_restart_of_the_relay_and_of_the_manager(
    start: Start, desk: Desk, backend: ProcessBackend, indexes: PackageIndexes, short_dir: Path
) -> None:
    first = await start(**places(indexes))
    worker = desk.offer(reading_packages())
    await desk.ready(worker)
    agent = await agent_of(backend, worker)
    pid_file = short_dir / "s" / "relay" / "relay.pid"
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    await becomes(agent, 200)
    await first.kill()
    os.kill(int(pid_file.read_text()), signal.SIGKILL)
    desk.beats.clear()
    await start(**places(indexes))
    await until_answered(desk, worker)
    await becomes(agent, 200)


async def test_policy__that_became_narrower_is_at_the_relay_with_the_next_heartbeat(
    start: Start, desk: Desk, backend: ProcessBackend, indexes: PackageIndexes
) -> None:
    await start(**places(indexes))
    worker = desk.offer(reading_packages())
    await desk.ready(worker)
    agent = await agent_of(backend, worker)
    assert await status(agent) == 200
    desk.egress[worker.worker_id] = (EgressPolicy(), "second")
    await becomes(agent, 403)
    await until(lambda: (seen := desk.reported(worker)) and seen.egress_version == "second", "told")


async def test_policy__of_the_next_run_is_at_the_relay_with_its_claim(
    start: Start, desk: Desk, backend: ProcessBackend, indexes: PackageIndexes
) -> None:
    await start(**places(indexes))
    worker = desk.offer()
    await desk.ready(worker)
    agent = await agent_of(backend, worker)
    assert await status(agent) == 403
    wider = msgspec.structs.replace(worker, token="", egress=PACKAGES, egress_version="second")
    desk.offer(wider, fresh=False)
    await becomes(agent, 200)
