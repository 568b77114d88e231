"""The manager on a real engine: what it makes, adopts, starts again; and while the engine hangs."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from chassis.ids import new_id
from contracts.workers import WorkerGrant, WorkerLimits, WorkerState
from executor_manager.containers.docker_places import Volumes
from tests.executor_manager.managers import (
    Desk,
    Manager,
    Start,
    grant,
    name_of,
    until,
    until_answered,
)
from tests.executor_manager.on_engine import DockerStart, container, on_engine
from tests.fixtures.engine import PrivateEngine, RealEngine, private_engine

pytestmark = [pytest.mark.docker, pytest.mark.root]

MIB = 1024 * 1024


async def test_a_claimed_run__gets_a_container_with_its_limits_and_tells_its_steps(
    docker_start: DockerStart, desk: Desk, engine: RealEngine
) -> None:
    await docker_start()
    worker = desk.offer(_limited(cpus=0.5, pids=100))
    await desk.ready(worker)
    change = desk.changed(worker, "ready")
    assert change is not None
    assert [step.step for step in change.steps] == ["create", "relay", "start", "boot"]
    assert desk.registrations[0].backend == "docker"
    assert desk.registrations[0].isolation["own_network"]
    assert desk.registrations[0].isolation["disk_limit"] is False
    assert desk.registrations[0].agents[0].agent == "scripted"
    made = await asyncio.to_thread(container, engine, worker)
    host = made.attrs["HostConfig"]
    assert (host["NanoCpus"], host["PidsLimit"]) == (500_000_000, 100)
    assert (host["Memory"], host["MemorySwap"]) == (256 * MIB, 256 * MIB)
    assert "bwt_canary" not in str(made.attrs)
    run = {"run_id": str(new_id()), "attempt": 1, "agent": "scripted", "prompt": "hi"}
    command = desk.command(worker, "start", run=run)
    await until(lambda: command in desk.done, "acknowledged")
    # out of a container without a network, by its socket alone
    assert desk.callbacks[0] == ("Bearer bwt_canary", {"started": str(command)})


async def test_killed_manager__adopts_its_container(
    docker_start: DockerStart, desk: Desk, engine: RealEngine
) -> None:
    first: Manager = await docker_start()
    worker = desk.offer()
    await desk.ready(worker)
    before = await asyncio.to_thread(container, engine, worker)
    await first.kill()
    desk.beats.clear()
    await docker_start()
    await until_answered(desk, worker)
    after = await asyncio.to_thread(container, engine, worker)
    assert (after.id, after.attrs["State"]["Pid"]) == (before.id, before.attrs["State"]["Pid"])


@pytest.mark.parametrize(
    "place",
    ["docker.after_create", "docker.after_start", "startup.started", "activation.ready"],
)
async def test_killed_in_the_middle_of_a_start__the_next_one_brings_the_same_container_up(
    docker_start: DockerStart, desk: Desk, engine: RealEngine, place: str
) -> None:
    first: Manager = await docker_start(failpoints=f"{place}=kill9")
    worker = desk.offer()
    assert first.process is not None
    await asyncio.wait_for(first.process.wait(), 60)
    before = await asyncio.to_thread(container, engine, worker)
    await docker_start()
    await until_answered(desk, worker)
    after = await asyncio.to_thread(container, engine, worker)
    assert after.id == before.id
    assert desk.changed(worker, "failed") is None


async def test_killed_before_it_was_made__the_next_one_makes_it_of_what_was_recorded(
    docker_start: DockerStart, desk: Desk, engine: RealEngine
) -> None:
    first: Manager = await docker_start(failpoints="docker.recorded=kill9")
    worker = desk.offer()
    assert first.process is not None
    await asyncio.wait_for(first.process.wait(), 60)
    await docker_start()
    await desk.ready(worker)
    found = await asyncio.to_thread(engine.containers, berth_session=str(worker.session_id))
    assert [one.name for one in found] == [name_of(worker)]
    assert desk.changed(worker, "failed") is None


@pytest.mark.parametrize("lost", [False, True], ids=["killed", "lost by the engine"])
async def test_a_dead_container__is_started_again_in_the_same_epoch(
    docker_start: DockerStart, desk: Desk, engine: RealEngine, short_dir: Path, *, lost: bool
) -> None:
    await docker_start()
    worker = desk.offer()
    await desk.ready(worker)
    found = await asyncio.to_thread(container, engine, worker)
    if lost:
        await asyncio.to_thread(found.remove, force=True)
    else:
        await asyncio.to_thread(found.kill)
    made = Volumes(short_dir / "s", short_dir / "k").directories(name_of(worker))
    starts = made.workspace / "starts"
    await until(lambda: len(starts.read_text().splitlines()) == 2, "second start")
    await until_answered(desk, worker)
    assert desk.changed(worker, "failed") is None


async def test_superseded__saves_aside_and_leaves_nothing(
    docker_start: DockerStart, desk: Desk, engine: RealEngine, short_dir: Path
) -> None:
    manager: Manager = await docker_start()
    worker = desk.offer()
    await desk.ready(worker)
    desk.live.pop(worker.worker_id)
    desk.verdicts[worker.worker_id] = "superseded"
    await until(lambda: desk.changed(worker, "removed"), "removed")
    own = (short_dir / "s" / "manager_id").read_text().strip()
    assert await asyncio.to_thread(engine.containers, berth_manager=own) == []
    for folder in ("s/workers", "s/trash", "k/trash"):
        await until(lambda folder=folder: not any((short_dir / folder).iterdir()), folder)
    assert manager.process is not None
    assert manager.process.returncode is None


@pytest.fixture(scope="module")
async def own_engine(engine: RealEngine, standin_image: str) -> AsyncGenerator[PrivateEngine]:
    async with private_engine(engine, standin_image) as private:
        yield private


async def test_an_engine_that_hangs_during_a_start__delays_it_and_decides_nothing(
    start: Start, desk: Desk, own_engine: PrivateEngine, standin_image: str, short_dir: Path
) -> None:
    await on_engine(start, own_engine.host, standin_image, short_dir)(
        docker_call_seconds=1, activate_deadline_seconds=8
    )
    living = desk.offer()
    await desk.ready(living)
    own_engine.signal(signal.SIGSTOP)
    try:
        worker = desk.offer()
        await until(lambda: worker.worker_id in desk.live, "claimed")
        # longer than a start may take, and heartbeats go on all the time
        beats = len(desk.beats)
        await until(lambda: len(desk.beats) > beats + 100, "heartbeats", deadline=60)

        def as_before() -> bool:
            new, former = desk.reported(worker), desk.reported(living)
            making = new is not None and new.state is WorkerState.CREATING
            return making and former is not None and former.answered

        await until(as_before, "one is being made, the other answers")
    finally:
        own_engine.signal(signal.SIGCONT)
    await until(lambda: desk.changed(worker, "ready"), f"ready: {desk.changes}", deadline=60)
    assert [change for _, change in desk.changes if change.change == "failed"] == []


def _limited(**limits: float) -> WorkerGrant:
    given = grant()
    return WorkerGrant(
        worker_id=given.worker_id,
        session_id=given.session_id,
        project_id=given.project_id,
        epoch=given.epoch,
        token=given.token,
        limits=WorkerLimits(**limits),  # type: ignore[arg-type]  # whole numbers where it wants them
    )
