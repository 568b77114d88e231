"""A manager whose engine misbehaves (faults, group C): by a proxy on its socket, and by kills."""

import asyncio
import itertools
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import httpx
import pytest

from contracts.managers import WorkerReportedState
from contracts.workers import WorkerGrant, WorkerState
from executor_manager.containers.docker_places import Volumes
from executor_manager.services.setbacks import PAUSE_FIRST, growing
from tests.executor_manager.containers.contract import eventually
from tests.executor_manager.managers import Desk, Manager, name_of, until, until_answered
from tests.executor_manager.on_engine import DockerStart, build_standin, container
from tests.executor_manager.relays import Relay
from tests.fixtures.engine import RealEngine
from tests.fixtures.engine_proxy import EngineProxy, engine_proxy

pytestmark = [pytest.mark.docker, pytest.mark.root]

REMOVAL = r"^DELETE /containers/"
CREATE = r"^POST /containers/create"
START = r"^POST /containers/[^/]+/start"
STOP = r"^POST /containers/[^/]+/stop"
INSPECT = r"^GET /containers/[^/]+/json"
LIST = "GET /containers/json"
MANY = 10


@pytest.fixture
async def proxy(engine: RealEngine, short_dir: Path) -> AsyncGenerator[EngineProxy]:
    async with engine_proxy(engine.host, short_dir / "d.sock") as proxy:
        yield proxy


def failed(desk: Desk) -> list[str]:
    return [change.reason for _, change in desk.changes if change.change == "failed"]


def state(desk: Desk, worker: WorkerGrant) -> WorkerState | None:
    seen: WorkerReportedState | None = desk.reported(worker)
    return seen.state if seen else None


async def counted(manager: Manager, name: str, value: float) -> None:
    """Its supervision has told it to its metrics."""

    async def is_so() -> bool:
        async with httpx.AsyncClient(base_url=await manager.address(), trust_env=False) as http:
            return f"{name} {value}" in (await http.get("/metrics")).text.splitlines()

    await eventually(is_so)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (409, "removal of container x is already in progress"),
        (500, "driver overlay2 failed to remove root filesystem: device or resource busy"),
    ],
)
async def test_removal_stuck__is_tried_ever_more_rarely_told_once_and_holds_no_place(
    docker_start: DockerStart, desk: Desk, proxy: EngineProxy, status: int, message: str
) -> None:
    """C09."""
    manager = await docker_start(docker_host=proxy.host, max_workers=1, docker_call_seconds=1)
    worker = desk.offer()
    await desk.ready(worker)
    fault = proxy.fault(REMOVAL, status=status, message=message)
    command = desk.command(worker, "remove", forced=True)
    stuck = await until(lambda: desk.changed(worker, "stuck"), "told", deadline=60)
    assert stuck.reason in {"backend_timeout", "backend_failed"}
    pauses = [later - former for former, later in itertools.pairwise(fault.seen)]
    assert len(pauses) >= 3
    least = [growing(PAUSE_FIRST, times) for times in range(len(pauses))]
    assert all(pause >= due for pause, due in zip(pauses, least, strict=True)), pauses
    assert state(desk, worker) is WorkerState.STOPPED
    await counted(manager, "berth_manager_workers_stuck", 1.0)
    other = desk.offer()
    await desk.ready(other)
    assert command not in desk.done
    proxy.faults.clear()
    await until(lambda: desk.changed(worker, "removed"), "removed", deadline=100)
    await until(lambda: command in desk.done, "acknowledged")
    told = [change.change for one, change in desk.changes if one == worker.worker_id]
    assert told == ["ready", "stuck", "removed"]
    assert failed(desk) == []


async def test_stop_refused__of_one_that_was_released_is_told_and_tried_again(
    docker_start: DockerStart, desk: Desk, proxy: EngineProxy
) -> None:
    """C09, a moment before: its process cannot be ended."""
    await docker_start(docker_host=proxy.host)
    worker = desk.offer()
    await desk.ready(worker)
    proxy.fault(STOP, status=500, message="tried to kill, gave up")
    desk.command(worker, "stop")
    stuck = await until(lambda: desk.changed(worker, "stuck"), "told", deadline=60)
    assert "gave up" in stuck.detail
    proxy.faults.clear()
    await until(lambda: desk.changed(worker, "stopped"), "stopped", deadline=60)


async def test_create_whose_answer_is_lost__makes_one_container(
    docker_start: DockerStart, desk: Desk, proxy: EngineProxy, engine: RealEngine
) -> None:
    await docker_start(docker_host=proxy.host)
    await until(lambda: desk.claims, "it claims")
    fault = proxy.fault(CREATE, lost=True, times=2)
    worker = desk.offer()
    await desk.ready(worker)
    assert len(fault.seen) >= 1
    found = await asyncio.to_thread(engine.containers, berth_session=str(worker.session_id))
    assert [one.name for one in found] == [name_of(worker)]
    assert failed(desk) == []


async def test_held_between_its_record_and_its_container__nobody_takes_it_for_lost(
    docker_start: DockerStart, desk: Desk, proxy: EngineProxy
) -> None:
    """C07: supervision and heartbeats go round while the engine takes its time to make it."""
    await docker_start(docker_host=proxy.host)
    await until(lambda: desk.claims, "it claims")
    held = asyncio.Event()
    fault = proxy.fault(CREATE, held=held)
    worker = desk.offer()
    await until(lambda: fault.seen, "asked for")
    lists = proxy.calls.count(LIST)
    await until(lambda: proxy.calls.count(LIST) > lists + 5, "supervised")
    await until(lambda: state(desk, worker) is WorkerState.CREATING, "told as being made")
    held.set()
    await desk.ready(worker)
    assert len(fault.seen) == 1
    assert failed(desk) == []


async def test_listed_before_its_start_and_looked_at_after_it__is_not_taken_for_dead(
    docker_start: DockerStart, desk: Desk, proxy: EngineProxy, engine: RealEngine
) -> None:
    """C07: the engine's list is older than what the manager itself did since."""
    await docker_start(docker_host=proxy.host)
    await until(lambda: desk.claims, "it claims")
    starting, listing = asyncio.Event(), asyncio.Event()
    started = proxy.fault(START, held=starting, times=1)
    worker = desk.offer()
    await until(lambda: started.seen, "to be started")
    listed = proxy.fault(LIST, late=listing, times=1)
    await until(lambda: listed.answered, "listed as created")
    starting.set()
    await desk.ready(worker)
    found = await asyncio.to_thread(container, engine, worker)
    lists = proxy.calls.count(LIST)
    listing.set()
    await until(lambda: proxy.calls.count(LIST) > lists + 5, "supervised")
    after = await asyncio.to_thread(container, engine, worker)
    assert (after.status, after.attrs["State"]["Pid"]) == ("running", found.attrs["State"]["Pid"])
    assert failed(desk) == []


async def test_engine_without_events__deaths_are_found_by_its_lists(
    docker_start: DockerStart, desk: Desk, proxy: EngineProxy, engine: RealEngine, short_dir: Path
) -> None:
    """C05."""
    events = proxy.fault(r"/events", status=500)
    await docker_start(docker_host=proxy.host, max_workers=2 * MANY)
    workers = [desk.offer() for _ in range(MANY)]
    for worker in workers:
        await until(lambda worker=worker: desk.changed(worker, "ready"), "ready", deadline=60)
    for worker in workers:
        found = await asyncio.to_thread(container, engine, worker)
        await asyncio.to_thread(found.kill)
    places = Volumes(short_dir / "s", short_dir / "k")
    for worker in workers:
        starts = places.directories(name_of(worker)).workspace / "starts"

        def twice(starts: Path = starts) -> bool:
            return len(starts.read_text().splitlines()) == 2

        await until(twice, "started again", deadline=60)
        await until_answered(desk, worker)
    assert events.seen == []
    assert failed(desk) == []


async def test_strangers__are_told_of_and_left_alone(
    docker_start: DockerStart, desk: Desk, engine: RealEngine, standin_image: str, short_dir: Path
) -> None:
    """C08: one of a session that nobody knows, and one that does not say whose it is."""
    first: Manager = await docker_start()
    unknown = desk.offer()
    await desk.ready(unknown)
    await first.kill()
    first.log_path.unlink()
    desk.live.clear()
    desk.beats.clear()
    own = (short_dir / "s" / "manager_id").read_text().strip()
    worn = {"berth.role": "session", "berth.manager": own, "berth.session": "garbled"}

    def run() -> Any:
        return engine.client.containers.run(
            standin_image, ["sleep", "600"], detach=True, labels=worn, network_mode="none"
        )

    garbled = await asyncio.to_thread(run)
    second: Manager = await docker_start()
    await until(lambda: "worker_unknown" in second.log, "told of the unknown one")
    await until(lambda: "stranger_found" in second.log, "told of the garbled one")
    beats = len(desk.beats)
    await until(lambda: len(desk.beats) > beats + 5, "its verdict came again")
    await counted(second, "berth_manager_strangers", 1.0)
    known = await asyncio.to_thread(container, engine, unknown)
    await asyncio.to_thread(garbled.reload)
    assert (known.status, garbled.status) == ("running", "running")
    assert desk.changed(unknown, "removed") is None


async def test_healthy_after_its_deadline__is_ended_and_takes_nothing(
    docker_start: DockerStart, desk: Desk, proxy: EngineProxy, engine: RealEngine, short_dir: Path
) -> None:
    """C13: it comes up between the deadline and its end, and a command waits for it."""
    # the one deadline of all steps, of which only the last is to miss it
    await docker_start(docker_host=proxy.host, activate_deadline_seconds=8)
    relay = Relay(short_dir / "s" / "relay")
    async with relay.admin:
        await relay.listing()
    await until(lambda: desk.claims, "it claims")
    starting, stopping = asyncio.Event(), asyncio.Event()
    started = proxy.fault(START, held=starting, times=1)
    stopped = proxy.fault(STOP, held=stopping)
    worker = desk.offer()
    await until(lambda: started.seen, "to be started")
    made = Volumes(short_dir / "s", short_dir / "k").directories(name_of(worker))
    held = made.spool / "never_ready"
    held.touch()
    starting.set()
    run = {"run_id": str(worker.session_id), "attempt": 1, "agent": "scripted", "prompt": "hi"}
    desk.command(worker, "start", run=run)
    await until(lambda: stopped.seen, "given up", deadline=60)
    held.unlink()
    await until((made.control / "executor.sock").is_socket, "it is late, and up")
    stopping.set()
    change = await until(lambda: desk.changed(worker, "failed"), "failed")
    assert change.reason == "boot_timeout"
    found = await asyncio.to_thread(container, engine, worker)
    assert found.status == "exited"
    assert not (made.workspace / "taken").exists(), "it took a command after its deadline"
    assert desk.callbacks == []


async def test_removed_by_somebody_while_it_starts__is_failed_at_once(
    docker_start: DockerStart, desk: Desk, proxy: EngineProxy, engine: RealEngine
) -> None:
    mute = build_standin(engine, "berth-test-mute:latest", 'CMD ["sleep", "inf"]\n')
    manager: Manager = await docker_start(docker_host=proxy.host, executor_image=mute)
    worker = desk.offer()
    await until(lambda: '"step":"start"' in manager.log, "started")
    # while it is being removed it has exited, for a moment
    removed = asyncio.Event()
    proxy.fault(INSPECT, held=removed)
    found = await asyncio.to_thread(container, engine, worker)
    await asyncio.to_thread(found.remove, force=True)
    removed.set()
    change = await until(lambda: desk.changed(worker, "failed"), "failed")
    assert change.reason == "container_missing"
