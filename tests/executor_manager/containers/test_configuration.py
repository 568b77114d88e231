"""The configuration of a session's container, as it is made of numbers and names."""

from pathlib import Path
from typing import Any

import pytest

from chassis.ids import new_id
from executor_manager.containers.backend import Directories, Limits
from executor_manager.containers.docker_configuration import DockerOptions, session_container
from executor_manager.containers.places import record_of
from tests.executor_manager.containers.contract import spec

MIB = 1024 * 1024
PLACES = Directories(
    workspace=Path("/s/workspace"),
    spool=Path("/s/spool"),
    control=Path("/k/control"),
    agent=Path("/k/agent"),
)


def made(limits: Limits, **environment: str) -> dict[str, Any]:
    record = record_of(spec(limits=limits, **environment))
    return session_container(DockerOptions(manager_id=new_id(), image="x"), record, PLACES)


def held_in_memory(host: dict[str, Any]) -> int:
    """What can be filled of it, without /run."""
    sizes = [
        int(option.removeprefix("size=").removesuffix("m")) * MIB
        for place, options in host["Tmpfs"].items()
        for option in options.split(",")
        if option.startswith("size=") and place != "/run"
    ]
    assert len(sizes) == 2
    return sum(sizes) + host["ShmSize"]


@pytest.mark.parametrize("mib", [64, 128, 256, 2048, 65536])
def test_memory__whatever_is_filled_leaves_some_of_it(mib: int) -> None:
    host = made(Limits(memory_bytes=mib * MIB))["HostConfig"]
    assert held_in_memory(host) <= mib * MIB * 7 // 8


def test_environment__of_a_start_never_replaces_what_says_whose_it_is() -> None:
    names = ("BERTH_WORKER_ID", "BERTH_EPOCH", "BERTH_AGENT_UID", "BERTH_CONTROL_DIR")
    told = made(Limits(), **dict.fromkeys(names, "0"))["Env"]
    assert not {f"{name}=0" for name in names} & {*told}


@pytest.mark.parametrize(("runtime", "told"), [("", False), ("crun", False), ("runsc-kvm", True)])
def test_boot_of_the_host__is_told_where_another_kernel_would_tell_its_own(
    runtime: str, *, told: bool
) -> None:
    """A spool is one of this boot or lost: by another number it would always be lost."""
    options = DockerOptions(manager_id=new_id(), image="x", boot_id="of-the-host")
    configuration = session_container(options, record_of(spec(), runtime=runtime), PLACES)
    assert ("BERTH_BOOT_ID=of-the-host" in configuration["Env"]) == told
    assert configuration["HostConfig"].get("Runtime", "") == runtime
