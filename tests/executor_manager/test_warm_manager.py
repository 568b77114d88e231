"""Warm containers of a manager on a real engine: used once, found again, never left behind."""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from chassis.ids import new_id
from contracts.managers import Orders
from contracts.workers import WorkerGrant, WorkerLimits
from executor_manager.containers.procfs import descendants
from tests.executor_manager.managers import (
    Desk,
    Manager,
    Start,
    grant,
    name_of,
    until,
    until_answered,
)
from tests.executor_manager.on_engine import DockerStart, build_standin, on_engine
from tests.fixtures.engine import RealEngine

pytestmark = [pytest.mark.docker, pytest.mark.root]

WARM = "berth-warm-"


class Site:
    """What the engine shows of one manager."""

    def __init__(self, engine: RealEngine, short_dir: Path) -> None:
        self._engine = engine
        self._state = short_dir / "s"

    async def containers(self) -> list[Any]:
        own = (self._state / "manager_id").read_text().strip()
        wanted = {"label": [f"berth.manager={own}", "berth.role=session"]}
        listed = self._engine.client.containers.list
        return await asyncio.to_thread(listed, all=True, filters=wanted, ignore_removed=True)

    async def by(self, status: str) -> list[Any]:
        return [one for one in await self.containers() if one.status == status]

    async def waiting(self, manager: Manager, count: int = 1, *, but: str = "") -> list[Any]:
        """So many that the manager has ready, and no other one that is paused."""
        async with asyncio.timeout(60):
            while True:
                told = [line for line in manager.log.splitlines() if '"warm_ready"' in line]
                found = await self.by("paused") if told else []
                ready = [one for one in found if any(one.name in line for line in told)]
                if len(ready) == len(found) == count and but not in {one.id for one in found}:
                    return found
                await asyncio.sleep(0.05)

    async def settled(self, *expected: str) -> None:
        """Exactly these containers, by the engine's ids, and no directory of any other."""
        async with asyncio.timeout(60):
            while True:
                found = {one.id for one in await self.containers()}
                places = list((self._state / "workers").iterdir())
                if (found, len(places)) == (set(expected), len(expected)):
                    return
                await asyncio.sleep(0.05)


@pytest.fixture
def site(engine: RealEngine, short_dir: Path) -> Site:
    return Site(engine, short_dir)


def used(manager: Manager) -> bool:
    return '"event":"warm_bound"' in manager.log


async def test_a_session__begins_in_a_warm_container_that_is_replaced(
    docker_start: DockerStart, desk: Desk, site: Site
) -> None:
    manager = await docker_start(warm_containers=1)
    (warm,) = await site.waiting(manager)
    assert warm.name.startswith(WARM)
    worker = desk.offer()
    await desk.ready(worker)
    assert used(manager)
    # besides this one its successor may run, which is being made
    running = await site.by("running")
    assert (warm.id, warm.name) in {(one.id, one.name) for one in running}
    assert all(one.name.startswith(WARM) for one in running), "it was started cold"
    change = desk.changed(worker, "ready")
    assert change is not None
    assert [step.step for step in change.steps] == ["create", "relay", "start", "boot"]
    command = desk.command(worker, "start", run={"run_id": str(new_id()), **RUN})
    await until(lambda: command in desk.done, "acknowledged")
    # the relay lets it out as that worker, and nobody else
    assert desk.callbacks[0] == ("Bearer bwt_canary", {"started": str(command)})
    await site.waiting(manager, but=warm.id)


RUN = {"attempt": 1, "agent": "scripted", "prompt": "hi"}


async def test_a_session__that_asks_for_something_special_is_started_cold(
    docker_start: DockerStart, desk: Desk, site: Site
) -> None:
    manager = await docker_start(warm_containers=1)
    (warm,) = await site.waiting(manager)
    given = grant()
    worker = desk.offer(
        WorkerGrant(
            worker_id=given.worker_id,
            session_id=given.session_id,
            project_id=given.project_id,
            epoch=given.epoch,
            token=given.token,
            limits=WorkerLimits(pids=99),
        )
    )
    await desk.ready(worker)
    assert not used(manager)
    (running,) = await site.by("running")
    assert running.name == name_of(worker)
    assert [one.id for one in await site.by("paused")] == [warm.id]


async def test_a_session__that_has_a_volume_here_is_started_cold(
    docker_start: DockerStart, desk: Desk, site: Site
) -> None:
    # what it asked for last would still be answered by the desk
    first: Manager = await docker_start(claim_wait_seconds=0.1)
    former = desk.offer()
    await desk.ready(former)
    await first.kill()
    manager = await docker_start(warm_containers=1)
    (warm,) = await site.waiting(manager)
    later = WorkerGrant(
        worker_id=new_id(),
        session_id=former.session_id,
        project_id=former.project_id,
        epoch=2,
        token="bwt_canary",
    )
    desk.offer(later)
    await desk.ready(later)
    assert used(manager) is False
    assert [one.id for one in await site.by("paused")] == [warm.id]


@pytest.mark.parametrize("place", ["docker.bound", "warm.bound", "startup.started"])
async def test_killed_once_it_is_bound__the_next_one_brings_the_same_container_up(
    docker_start: DockerStart, desk: Desk, site: Site, place: str
) -> None:
    first: Manager = await docker_start(warm_containers=1, failpoints=f"{place}=kill9")
    (warm,) = await site.waiting(first)
    worker = desk.offer()
    assert first.process is not None
    await asyncio.wait_for(first.process.wait(), 60)
    await docker_start()
    await until_answered(desk, worker)
    await site.settled(warm.id)
    await desk.ready(worker)
    assert desk.changed(worker, "failed") is None


async def test_killed_before_it_is_bound__is_failed_and_leaves_nothing(
    docker_start: DockerStart, desk: Desk, site: Site
) -> None:
    place = "warm.before_binding"
    first: Manager = await docker_start(warm_containers=1, failpoints=f"{place}=kill9")
    await site.waiting(first)
    worker = desk.offer()
    assert first.process is not None
    await asyncio.wait_for(first.process.wait(), 60)
    await docker_start()
    failed = await until(lambda: desk.changed(worker, "failed"), "failed")
    assert failed.reason == "container_missing"
    await site.settled()


async def test_killed_before_it_is_told_ready__is_told_by_the_next_one(
    docker_start: DockerStart, desk: Desk, site: Site
) -> None:
    first: Manager = await docker_start(warm_containers=1, failpoints="activation.ready=kill9")
    (warm,) = await site.waiting(first)
    worker = desk.offer()
    assert first.process is not None
    await asyncio.wait_for(first.process.wait(), 60)
    assert desk.changed(worker, "ready") is None
    await docker_start()
    await desk.ready(worker)
    await site.settled(warm.id)
    assert desk.changed(worker, "failed") is None


@pytest.mark.parametrize("place", ["docker.recorded", "warm.created", "docker.after_start"])
async def test_killed_while_one_is_made__the_next_one_removes_it(
    docker_start: DockerStart, desk: Desk, site: Site, place: str
) -> None:
    first: Manager = await docker_start(warm_containers=1, failpoints=f"{place}=kill9")
    assert first.process is not None
    await asyncio.wait_for(first.process.wait(), 60)
    await docker_start()
    await until(lambda: desk.registrations[1:], "registered again")
    await site.settled()
    # nor was it taken for somebody's
    await until(lambda: desk.beats, "heartbeat")
    assert all(beat.workers == [] for beat in desk.beats)


async def test_killed_with_some_that_wait__the_next_one_keeps_the_session_and_removes_them(
    docker_start: DockerStart, desk: Desk, site: Site
) -> None:
    first: Manager = await docker_start(warm_containers=2)
    before = {one.id for one in await site.waiting(first, 2)}
    worker = desk.offer()
    await desk.ready(worker)
    (running,) = [one for one in await site.by("running") if one.id in before]
    await first.kill()
    await docker_start()
    await until_answered(desk, worker)
    await site.settled(running.id)


async def test_stopped__leaves_none_that_waits(
    docker_start: DockerStart, desk: Desk, site: Site
) -> None:
    manager: Manager = await docker_start(warm_containers=2)
    before = {one.id for one in await site.waiting(manager, 2)}
    worker = desk.offer()
    await desk.ready(worker)
    (running,) = [one for one in await site.by("running") if one.id in before]
    await site.waiting(manager, 2)
    await manager.kill(signal.SIGTERM, deadline=60)
    assert [one.id for one in await site.containers()] == [running.id]


async def test_how_many__is_what_an_administrator_orders_or_its_own_setting(
    docker_start: DockerStart, desk: Desk, site: Site
) -> None:
    manager = await docker_start(warm_containers=1, max_workers=4)
    (own,) = await site.waiting(manager)
    desk.orders = Orders(warm=2)
    both = await site.waiting(manager, 2)
    assert own.id in {one.id for one in both}
    desk.orders = Orders(warm=0)
    await site.settled()
    desk.orders = Orders()
    await site.waiting(manager)


async def test_a_dead_one__is_not_used_and_is_replaced(
    docker_start: DockerStart, desk: Desk, site: Site, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    go.touch()
    manager = await docker_start(warm_containers=1, failpoints=f"warm.created=hold:{go}")
    (warm,) = await site.waiting(manager)
    go.unlink()  # none other is ready in time
    await asyncio.to_thread(warm.remove, force=True)
    worker = desk.offer()
    await desk.ready(worker)
    assert not used(manager)
    assert name_of(worker) in {one.name for one in await site.by("running")}
    go.touch()
    await site.waiting(manager, but=warm.id)


async def test_one_that_dies_once_it_is_bound__is_given_up_for_a_cold_one(
    docker_start: DockerStart, desk: Desk, site: Site, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    manager = await docker_start(warm_containers=1, failpoints=f"warm.bound=hold:{go}")
    (warm,) = await site.waiting(manager)
    worker = desk.offer()
    await until(lambda: list((manager.state_dir / "workers").glob("*/binding.json")), "bound")
    # in its sleep, all of it: an engine that removes it lets it go on first, as does a first
    # process that dies before the others
    first = warm.attrs["State"]["Pid"]
    for pid in (*(one.process.pid for one in descendants(first)), first):
        os.kill(pid, signal.SIGKILL)
    go.touch()
    await desk.ready(worker)
    assert desk.changed(worker, "failed") is None
    names = [one.name for one in await site.by("running")]
    assert warm.name not in names
    assert [name for name in names if not name.startswith(WARM)] == [name_of(worker)]
    assert not list((manager.state_dir / "workers").glob("*/binding.json"))


async def test_those_that_do_not_come_up__back_off_and_harm_no_session(
    docker_start: DockerStart, desk: Desk, site: Site
) -> None:
    failing = '{"TEST_WARM_FAILS": "1"}'
    manager = await docker_start(warm_containers=3, executor_env_json=failing)
    await until(lambda: manager.log.count('"event":"warm_start_failed"') >= 2, "two failures", 60)
    worker = desk.offer()
    await desk.ready(worker)
    names = [one.name for one in await site.by("running")]  # of one that fails again, too
    assert [name for name in names if not name.startswith(WARM)] == [name_of(worker)]
    pauses = [line for line in manager.log.splitlines() if "warm_start_failed" in line]
    assert '"pause":1.0' in pauses[0]
    assert '"pause":2.0' in pauses[1]
    assert "it fails" in pauses[0]


async def test_another_image_of_the_name__replaces_those_that_wait(
    start: Start, desk: Desk, site: Site, engine: RealEngine, short_dir: Path
) -> None:
    tag = f"berth-test-warm:{new_id()}"
    build_standin(engine, tag)
    manager = await on_engine(start, engine.host, tag, short_dir)(warm_containers=1)
    try:
        (old,) = await site.waiting(manager)
        build_standin(engine, tag, "LABEL berth.test=newer\n")
        (new,) = await site.waiting(manager, but=old.id)
        assert new.image.labels["berth.test"] == "newer"
        worker = desk.offer()
        await desk.ready(worker)
        assert new.id in {one.id for one in await site.by("running")}
    finally:
        await manager.kill()  # one that lives makes more
        own = (short_dir / "s" / "manager_id").read_text().strip()
        await asyncio.to_thread(engine.remove_all, berth_manager=own)
        await asyncio.to_thread(engine.client.images.remove, tag, force=True)


async def test_the_process_backend__says_that_it_has_none(start: Start) -> None:
    manager: Manager = await start(warm_containers=1)
    assert manager.process is not None
    assert await asyncio.wait_for(manager.process.wait(), 60) == 1
    assert "BERTH_WARM_CONTAINERS should be 0 with the process backend" in manager.log
