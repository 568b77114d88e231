"""A manager whose images change or are not there (faults C12, C18): each session has its own."""

import asyncio
import signal
from collections.abc import AsyncGenerator
from typing import Any

import msgspec
import pytest

from chassis.ids import new_id
from tests.executor_manager.managers import Desk, Manager, grant, until, until_answered
from tests.executor_manager.on_engine import DockerStart, build_standin, container
from tests.fixtures.engine import RealEngine

pytestmark = [pytest.mark.docker, pytest.mark.root]

NEWER = "berth-test-standin:upgraded"
ABSENT = "berth-test-standin:absent"


@pytest.fixture
async def newer_image(engine: RealEngine, standin_image: str) -> AsyncGenerator[str]:
    assert standin_image != NEWER
    yield await asyncio.to_thread(build_standin, engine, NEWER, "LABEL is=newer\n")
    await asyncio.to_thread(engine.client.images.remove, NEWER, force=True)


def image_of(engine: RealEngine, name: str) -> str:
    return engine.client.images.get(name).id


async def test_upgrade__what_runs_is_served_as_it_is_and_what_is_new_is_of_the_new_image(
    docker_start: DockerStart,
    desk: Desk,
    engine: RealEngine,
    newer_image: str,
) -> None:
    first: Manager = await docker_start()
    old = desk.offer()
    await desk.ready(old)
    before: Any = await asyncio.to_thread(container, engine, old)
    await first.kill(signal.SIGTERM)
    desk.beats.clear()
    await docker_start(executor_image=newer_image)
    await until_answered(desk, old)
    run = {"run_id": str(new_id()), "attempt": 1, "agent": "scripted", "prompt": "hi"}
    command = desk.command(old, "start", run=run)
    await until(lambda: command in desk.done, "the former one takes commands")
    new = desk.offer()
    await desk.ready(new)
    after: Any = await asyncio.to_thread(container, engine, old)
    fresh: Any = await asyncio.to_thread(container, engine, new)
    assert after.id == before.id
    # its name may mean another image by now
    assert after.attrs["Image"] == before.attrs["Image"]
    assert fresh.attrs["Image"] == image_of(engine, newer_image)
    told = desk.changed(new, "ready")
    assert told is not None
    assert told.image == fresh.attrs["Image"]
    await asyncio.to_thread(after.remove, force=True)

    def again() -> bool:
        found = engine.containers(berth_session=str(old.session_id))
        return [one.status for one in found] == ["running"]

    async with asyncio.timeout(30):
        while not await asyncio.to_thread(again):  # noqa: ASYNC110  # another process makes it
            await asyncio.sleep(0.05)
    made: Any = await asyncio.to_thread(container, engine, old)
    assert made.attrs["Image"] == before.attrs["Image"], "it is of what was recorded"
    assert desk.changed(old, "failed") is None


async def test_image_missing__is_its_own_sessions_and_says_so(
    docker_start: DockerStart, desk: Desk, engine: RealEngine, standin_image: str
) -> None:
    """By its name, and by a digest that the engine does not have."""
    absent = f"{standin_image.partition(':')[0]}:other@sha256:{'0' * 64}"
    await docker_start(images=f"{ABSENT},{absent}")
    wanting = [msgspec.structs.replace(grant(), image=image) for image in (ABSENT, absent)]
    for worker in wanting:
        desk.offer(worker)
    neighbour = desk.offer()
    await desk.ready(neighbour)
    for worker in wanting:
        change = await until(lambda worker=worker: desk.changed(worker, "failed"), "failed")
        assert change.reason == "image_missing"
        assert worker.image.rpartition("@")[2] in change.detail
        assert [(one.step, one.reason) for one in change.steps] == [("create", "image_missing")]
        found = await asyncio.to_thread(engine.containers, berth_session=str(worker.session_id))
        assert found == []
