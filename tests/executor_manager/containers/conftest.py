"""The docker backend on a real engine, for the modules that have none of their own."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from chassis.ids import new_id
from executor_manager.containers.docker_backend import DockerBackend
from executor_manager.containers.docker_configuration import DockerOptions
from tests.executor_manager.containers.docker_site import site
from tests.fixtures.engine import RealEngine


@pytest.fixture
def options(resident_image: str) -> DockerOptions:
    return DockerOptions(manager_id=new_id(), image=resident_image, log_mib=1)


@pytest.fixture
async def backend(
    engine: RealEngine, options: DockerOptions, short_dir: Path
) -> AsyncGenerator[DockerBackend]:
    backend = DockerBackend(site(engine.host, short_dir), options)
    await backend.open()
    yield backend
    await asyncio.to_thread(engine.remove_all, berth_manager=str(options.manager_id))
    await backend.close()


@pytest.fixture
async def second(
    engine: RealEngine, options: DockerOptions, short_dir: Path
) -> AsyncGenerator[DockerBackend]:
    """As another manager's, after a restart."""
    second = DockerBackend(site(engine.host, short_dir), options)
    yield second
    await second.close()
