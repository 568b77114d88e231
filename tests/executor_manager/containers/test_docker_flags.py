"""The flags of a session's container, as the engine took them and as they look from inside."""

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chassis.ids import new_id
from executor_manager.containers.backend import Limits
from executor_manager.containers.docker_backend import DockerBackend
from executor_manager.containers.docker_configuration import MASKED, READ_ONLY, DockerOptions
from executor_manager.containers.docker_engine import Engine, Info
from executor_manager.containers.docker_places import Volumes
from executor_manager.containers.docker_site import DockerSite
from executor_manager.containers.errors import BackendError
from tests.executor_manager.containers.contract import spec, started
from tests.fixtures.engine import RealEngine, build

pytestmark = [pytest.mark.docker, pytest.mark.root]

MIB = 1024 * 1024
UNHEALTHY = "HEALTHCHECK --interval=1s CMD touch /tmp/checked"


@pytest.fixture
async def container(
    engine: RealEngine, resident_image: str, short_dir: Path
) -> AsyncGenerator[Any]:
    """Of an image that wants to be looked after."""
    tag = f"berth-test-flags:{os.getpid()}"
    # an image of its own: it is removed while other processes make theirs
    dockerfile = f"FROM {resident_image}\n{UNHEALTHY}\nLABEL is={tag}\n"
    await asyncio.to_thread(build, engine, tag, {"Dockerfile": dockerfile.encode()})
    options = DockerOptions(manager_id=new_id(), image=tag, log_mib=3)
    volumes = Volumes(short_dir / "s", short_dir / "k")
    backend = DockerBackend(DockerSite(host=engine.host, call_seconds=30, volumes=volumes), options)
    await backend.open()
    limits = Limits(cpus=0.5, memory_bytes=512 * MIB, pids=64)
    made = await started(backend, spec(limits=limits))
    yield await asyncio.to_thread(engine.client.containers.get, made.name)
    await asyncio.to_thread(engine.remove_all, berth_manager=str(options.manager_id))
    await asyncio.to_thread(engine.client.images.remove, tag, force=True)
    await backend.close()


async def inside(container: Any, *command: str) -> str:
    done = await asyncio.to_thread(container.exec_run, list(command), user="10001:10001")
    return done.output.decode()


def present(paths: tuple[str, ...]) -> list[str]:
    """Which of them the kernel has; another one has more."""
    return [path for path in paths if Path(path).exists()]


async def test_flags__are_those_that_the_engine_took(container: Any) -> None:
    host, own = container.attrs["HostConfig"], container.attrs["Config"]
    wanted = {
        "NetworkMode": "none",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "PidMode": "",
        "UTSMode": "",
        "UsernsMode": "",
        "CapAdd": ["SETUID", "SETGID", "KILL"],
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "Privileged": False,
        "PublishAllPorts": False,
        "ReadonlyRootfs": True,
        "Init": True,
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "OomScoreAdj": 500,
        "ShmSize": 64 * MIB,
        "Memory": 512 * MIB,
        "MemorySwap": 512 * MIB,
        "NanoCpus": 500_000_000,
        "PidsLimit": 64,
        "MaskedPaths": [*MASKED],
        "ReadonlyPaths": [*READ_ONLY],
    }
    assert {name: host[name] for name in wanted} == wanted
    assert not host["Devices"]
    assert not host["Binds"]
    assert not host["PortBindings"]
    assert not host["ExtraHosts"]
    assert host["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": "3m", "max-file": "2"},
    }
    assert (own["StopSignal"], own["StopTimeout"]) == ("SIGTERM", 20)
    assert own["Healthcheck"]["Test"] == ["NONE"]


async def test_inside__limits_and_names_are_its_own(container: Any) -> None:
    limits = (await inside(container, "cat", "/proc/self/limits")).splitlines()
    told = {line[:25].strip(): line[25:].split()[:2] for line in limits}
    assert told["Max open files"] == ["8192", "8192"]
    assert told["Max core file size"] == ["0", "0"]
    groups = (await inside(container, "cat", "/proc/1/cgroup")).split()
    assert {group.rpartition(":")[2] for group in groups} == {"/"}
    assert (await inside(container, "cat", "/proc/1/oom_score_adj")).strip() == "500"
    assert "checked" not in await inside(container, "ls", "/tmp")


async def test_inside__the_kernels_doors_are_shut(container: Any) -> None:
    mounts = [
        line.split() for line in (await inside(container, "cat", "/proc/mounts")).splitlines()
    ]
    options = {fields[1]: fields[3].split(",") for fields in mounts}
    masked, read_only = [await asyncio.to_thread(present, paths) for paths in (MASKED, READ_ONLY)]
    assert {"/proc/keys", "/sys/firmware"} <= {*masked}
    assert "/proc/sys" in read_only
    for path in masked:
        assert path in options, f"{path} is not masked"
    for path in read_only:
        assert "ro" in options[path], path
    assert "ro" in options["/sys"]
    assert "ro" in options["/"]
    assert await inside(container, "ls", "/sys/firmware") == ""
    for path in ("/tmp", "/home/agent"):
        assert {"nosuid", "nodev", "nr_inodes=262144"} <= {*options[path]}, path
    assert {"nosuid", "nodev", "noexec", "nr_inodes=4096"} <= {*options["/run"]}
    assert {"nosuid", "nodev", "noexec", "size=65536k"} <= {*options["/dev/shm"]}


@pytest.mark.parametrize("option", ["name=userns", "name=rootless"])
async def test_engine_that_maps_uids__is_refused_at_the_start(
    engine: RealEngine,
    resident_image: str,
    short_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
) -> None:
    told = Engine.check

    def mapped(self: Engine) -> Info:
        info = told(self)
        return msgspec.structs.replace(
            info, security_options=[*(info.security_options or []), option]
        )

    monkeypatch.setattr(Engine, "check", mapped)
    options = DockerOptions(manager_id=new_id(), image=resident_image)
    volumes = Volumes(short_dir / "s", short_dir / "k")
    backend = DockerBackend(DockerSite(host=engine.host, call_seconds=30, volumes=volumes), options)
    with pytest.raises(BackendError, match="maps uids"):
        await backend.open()
    await backend.close()
