"""The docker backend while its engine hangs, is away, and comes back: on one of ours."""

import asyncio
import signal
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest

from chassis.ids import new_id
from executor_manager.containers.backend import ContainerState
from executor_manager.containers.docker_backend import MARGIN_SECONDS, DockerBackend
from executor_manager.containers.docker_configuration import DockerOptions
from executor_manager.containers.docker_engine import START_SECONDS
from executor_manager.containers.docker_places import Volumes
from executor_manager.containers.docker_site import DockerSite
from executor_manager.containers.errors import BackendError, Timeout, Unreachable
from tests.executor_manager.containers.contract import eventually, spec, started
from tests.fixtures.engine import PrivateEngine, RealEngine, private_engine

pytestmark = [pytest.mark.docker, pytest.mark.root]

CALL_SECONDS = 1.0
LONGEST_GAP = 0.5
"""Of a loop that nothing blocks, on a machine where much else runs."""


@pytest.fixture(scope="module")
async def own_engine(engine: RealEngine, resident_image: str) -> AsyncGenerator[PrivateEngine]:
    async with private_engine(engine, resident_image) as private:
        yield private


@pytest.fixture
async def backend(
    own_engine: PrivateEngine, resident_image: str, short_dir: Path
) -> AsyncGenerator[DockerBackend]:
    site = DockerSite(
        host=own_engine.host,
        call_seconds=CALL_SECONDS,
        volumes=Volumes(short_dir / "s", short_dir / "k"),
    )
    backend = DockerBackend(site, DockerOptions(manager_id=new_id(), image=resident_image))
    await backend.open()
    yield backend
    for container in (await backend.list()).containers:
        await backend.stop(container.name, 0)
        await backend.remove(container.name)
    await backend.close()


async def test_a_create_given_up_that_is_still_under_way__is_waited_for(
    backend: DockerBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine keeps the name from its beginning, and shows the container at its end."""
    wanted = spec()
    await backend.adopt_or_create(wanted)
    with monkeypatch.context() as patch:
        patch.setattr(backend._engine, "inspect", lambda _: None)
        with pytest.raises(Timeout):
            await backend.adopt_or_create(wanted)
    assert (await backend.adopt_or_create(wanted)).state is ContainerState.CREATED


class Gap:
    """The longest time for which the event loop did not come round."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            now = time.monotonic()
            self.longest, last = max(self.longest, now - last), now


async def test_an_engine_that_hangs__costs_a_deadline_and_nothing_else(
    backend: DockerBackend, own_engine: PrivateEngine
) -> None:
    wanted = spec()
    container = await started(backend, wanted)
    name = container.name
    calls: dict[str, tuple[Callable[[], Any], float]] = {
        "list": (backend.list, CALL_SECONDS),
        "get": (lambda: backend.get(name), CALL_SECONDS),
        "stats": (lambda: backend.stats(name), 2 * CALL_SECONDS),
        "logs": (lambda: backend.logs(name), 2 * CALL_SECONDS),
        "pause": (lambda: backend.pause(name), 3 * CALL_SECONDS),
        "stop": (lambda: backend.stop(name, 1), 1 + 3 * CALL_SECONDS),
        "create": (lambda: backend.adopt_or_create(spec()), 3 * CALL_SECONDS),
        "start": (lambda: backend.start(name), START_SECONDS + 3 * CALL_SECONDS),
    }
    gap = Gap()
    watching = asyncio.create_task(gap.watch())
    own_engine.signal(signal.SIGSTOP)
    try:
        for what, (call, deadline) in calls.items():
            begun = time.monotonic()
            with pytest.raises(Timeout):
                await call()
            assert time.monotonic() - begun < deadline + 4 * MARGIN_SECONDS, what
        # more at once than there are threads: each still ends by its deadline
        begun = time.monotonic()
        many = await asyncio.gather(*(backend.get(name) for _ in range(40)), return_exceptions=True)
        assert {type(one) for one in many} == {Timeout}
        assert time.monotonic() - begun < CALL_SECONDS + 3 * MARGIN_SECONDS
    finally:
        own_engine.signal(signal.SIGCONT)
        watching.cancel()
    assert gap.longest < LONGEST_GAP

    async def answers() -> bool:
        try:
            return name in [one.name for one in (await backend.list()).containers]
        except BackendError:
            return False

    await eventually(answers)
    assert (await backend.get(name) or container).identity == container.identity


async def test_an_engine_that_restarts__is_away_and_its_containers_can_start_again(
    backend: DockerBackend, own_engine: PrivateEngine
) -> None:
    container = await started(backend, spec())
    await own_engine.stop()
    for call in (backend.list, lambda: backend.get(container.name)):
        with pytest.raises(Unreachable):
            await call()
    await own_engine.start()
    (found,) = (await backend.list()).containers
    assert (found.state, found.tree_gone) == (ContainerState.EXITED, True)
    (container.directories.spool / "resident").unlink()
    assert (await backend.start(container.name)).state is ContainerState.RUNNING
    await eventually((container.directories.spool / "resident").exists)


async def test_an_engine_that_was_killed__finds_its_containers_again(
    backend: DockerBackend, own_engine: PrivateEngine
) -> None:
    container = await started(backend, spec())
    own_engine.signal(signal.SIGKILL)
    assert own_engine.process is not None
    await asyncio.to_thread(own_engine.process.wait, 10)
    with pytest.raises(Unreachable):
        await backend.adopt_or_create(spec())
    await own_engine.start()
    found = await backend.get(container.name)
    assert found is not None
    if found.state is ContainerState.EXITED:
        assert found.tree_gone
        found = await backend.start(container.name)
    assert found.state is ContainerState.RUNNING
