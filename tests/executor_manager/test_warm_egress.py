"""A warm container serves sessions of any policy: what tools find is told when it is bound."""

from pathlib import Path

import msgspec
import pytest

from contracts.egress import EgressPolicy, EgressProfile
from contracts.executors import ASSIGNED_FILE, Assigned
from executor_manager.containers.docker_places import Volumes
from tests.executor_manager.managers import Desk, Manager, grant, until
from tests.executor_manager.on_engine import DockerStart

pytestmark = [pytest.mark.docker, pytest.mark.root]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (EgressPolicy(), []),
        (EgressPolicy(profile=EgressProfile.PACKAGES), ["pypi", "npm"]),
    ],
)
async def test_a_warm_container__learns_what_its_sessions_policy_grants(
    docker_start: DockerStart, desk: Desk, short_dir: Path, policy: EgressPolicy, words: list[str]
) -> None:
    manager: Manager = await docker_start(warm_containers=1)
    await until(lambda: '"warm_ready"' in manager.log, "one is warm", deadline=40)
    worker = desk.offer(msgspec.structs.replace(grant(), egress=policy))
    await desk.ready(worker)
    bound = next(line for line in manager.log.splitlines() if '"warm_bound"' in line)
    name = msgspec.json.decode(bound)["name"]
    control = Volumes(short_dir / "s", short_dir / "k").directories(name).control
    told = msgspec.json.decode((control / ASSIGNED_FILE).read_bytes(), type=Assigned)
    assert (told.worker_id, told.egress) == (worker.worker_id, words)
