"""A hundred containers (faults, case C16): they take no network, no port and no short name."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from chassis.ids import new_id
from executor_manager.containers.backend import ContainerState
from executor_manager.containers.docker_backend import DockerBackend
from executor_manager.containers.docker_configuration import DockerOptions
from executor_manager.containers.docker_places import Volumes
from executor_manager.containers.docker_site import DockerSite
from tests.executor_manager.containers.contract import spec
from tests.fixtures.engine import RealEngine

pytestmark = [pytest.mark.docker, pytest.mark.root]

MANY = 100
"""An engine's own pools of addresses hold about thirty networks."""
STARTED = 3


@pytest.fixture
async def backend(
    engine: RealEngine, resident_image: str, short_dir: Path
) -> AsyncGenerator[DockerBackend]:
    options = DockerOptions(manager_id=new_id(), image=resident_image, log_mib=1)
    volumes = Volumes(short_dir / "s", short_dir / "k")
    # a hundred wait for sixteen threads, on an engine that others use
    backend = DockerBackend(
        DockerSite(host=engine.host, call_seconds=60.0, volumes=volumes), options
    )
    await backend.open()
    yield backend
    await asyncio.to_thread(engine.remove_all, berth_manager=str(options.manager_id))
    await backend.close()


async def test_a_hundred__are_made_and_start_without_any_network(
    backend: DockerBackend, engine: RealEngine
) -> None:
    specs = [spec() for _ in range(MANY)]
    made = await asyncio.gather(*(backend.adopt_or_create(one) for one in specs))
    assert {one.state for one in made} == {ContainerState.CREATED}
    assert len({one.name for one in made}) == MANY
    assert len((await backend.list()).containers) == MANY
    started = [await backend.start(one.name) for one in (made[0], *made[-STARTED + 1 :])]
    assert {one.state for one in started} == {ContainerState.RUNNING}
    for one in started:
        found = await asyncio.to_thread(engine.client.containers.get, one.name)
        assert set(found.attrs["NetworkSettings"]["Networks"]) == {"none"}
        assert not found.attrs["NetworkSettings"]["Ports"]
