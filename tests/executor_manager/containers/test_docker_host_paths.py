"""Where our own directories are on the engine's host, from a container's mounts."""

import asyncio
from pathlib import Path

import pytest

from executor_manager.containers.docker_engine import Engine
from executor_manager.containers.docker_host_paths import below, own_container
from executor_manager.containers.errors import BackendError
from tests.fixtures.engine import RealEngine

pytestmark = [pytest.mark.docker, pytest.mark.root]


async def test_host_path__in_a_container_is_told_by_its_own_mounts(
    engine: RealEngine, resident_image: str, short_dir: Path
) -> None:
    looking = await asyncio.to_thread(
        engine.client.containers.create,
        resident_image,
        entrypoint=["cat", "/proc/self/mountinfo"],
        volumes={str(short_dir): {"bind": "/var/lib/berth", "mode": "rw"}},
        network_mode="none",
    )
    try:
        await asyncio.to_thread(looking.start)
        await asyncio.to_thread(looking.wait)
        mountinfo = (await asyncio.to_thread(looking.logs)).decode()
        assert own_container(mountinfo) == looking.id
        found = await asyncio.to_thread(Engine(engine.host, 60).inspect, looking.id)
    finally:
        await asyncio.to_thread(looking.remove, force=True)
    assert found is not None
    path = below(found.mounts, Path("/var/lib/berth/state"), "BERTH_STATE_HOST_DIR")
    assert path == short_dir / "state"
    with pytest.raises(BackendError, match="BERTH_STATE_HOST_DIR"):
        below(found.mounts, Path("/elsewhere"), "BERTH_STATE_HOST_DIR")


def test_host_path__of_mounts_that_only_name_containers_is_none() -> None:
    shared = f"40 22 0:36 / /var/lib/docker/containers/{'a' * 64}/mounts/shm rw - tmpfs shm rw\n"
    assert own_container(shared) is None
