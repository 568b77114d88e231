"""A manager whose engine is ended and started again (faults C02, C03), at each moment of a life."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from contracts.workers import WorkerGrant
from tests.executor_manager.managers import Desk, Start, until, until_answered
from tests.executor_manager.on_engine import DockerStart, on_engine
from tests.fixtures.engine import PrivateEngine, RealEngine, private_engine
from tests.fixtures.engine_proxy import EngineProxy, engine_proxy

pytestmark = [pytest.mark.docker, pytest.mark.root]

MOMENTS = {
    "create": r"^POST /containers/create",
    "start": r"^POST /containers/[^/]+/start",
    "stop": r"^POST /containers/[^/]+/stop",
    "remove": r"^DELETE /containers/",
}
BEATS_AWAY = 100
"""Heartbeats while it is away: some ten seconds, of an activation's eight."""


@pytest.fixture(scope="module")
async def own_engine(engine: RealEngine, standin_image: str) -> AsyncGenerator[PrivateEngine]:
    async with private_engine(engine, standin_image) as private:
        yield private


@pytest.fixture
async def proxy(own_engine: PrivateEngine, short_dir: Path) -> AsyncGenerator[EngineProxy]:
    async with engine_proxy(own_engine.host, short_dir / "d.sock") as proxy:
        yield proxy


@pytest.fixture
def started(start: Start, proxy: EngineProxy, standin_image: str, short_dir: Path) -> DockerStart:
    return on_engine(start, proxy.host, standin_image, short_dir)


async def ready(desk: Desk, worker: WorkerGrant) -> None:
    await until(lambda: desk.changed(worker, "ready"), "ready", deadline=60)


@pytest.mark.parametrize("moment", MOMENTS)
async def test_restarted_when_it_has_done_it_but_not_said_so__it_goes_on(
    started: DockerStart,
    desk: Desk,
    proxy: EngineProxy,
    own_engine: PrivateEngine,
    moment: str,
) -> None:
    await started()
    await until(lambda: desk.claims, "it claims")
    new = moment in {"create", "start"}
    worker = desk.offer() if not new else None
    if worker is not None:
        await ready(desk, worker)
    late = asyncio.Event()
    fault = proxy.fault(MOMENTS[moment], late=late, lost=True, times=1)
    if worker is None:
        worker = desk.offer()
    elif moment == "stop":
        desk.command(worker, "stop")
    else:
        desk.command(worker, "remove", forced=True)
    await until(lambda: fault.answered, "it is done")
    await own_engine.stop()
    late.set()
    await own_engine.start()
    if new:
        await ready(desk, worker)
        await until_answered(desk, worker)
    else:
        end = {"stop": "stopped", "remove": "removed"}[moment]
        await until(lambda: desk.changed(worker, end), end, deadline=60)
    assert desk.changed(worker, "failed") is None


async def test_away__nobody_is_failed_for_it_and_heartbeats_go_on(
    started: DockerStart, desk: Desk, own_engine: PrivateEngine
) -> None:
    await started(activate_deadline_seconds=8)
    living = desk.offer()
    await ready(desk, living)
    await own_engine.stop()
    try:
        worker = desk.offer()
        await until(lambda: worker.worker_id in desk.live, "claimed")
        beats = len(desk.beats)
        await until(lambda: len(desk.beats) > beats + BEATS_AWAY, "heartbeats", deadline=60)
        assert [one.change for _, one in desk.changes] == ["ready"]
    finally:
        await own_engine.start()
    await ready(desk, worker)
    await until_answered(desk, living)
    assert desk.changed(living, "failed") is None
