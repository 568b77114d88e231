"""What engines really answer to `/version` and `/info`: the parts that a preflight reads."""

from pathlib import Path
from typing import Any

import msgspec

from executor_manager.containers.docker_engine import Info, Versions
from executor_manager.containers.docker_facts import Facts, Inside, Volume

GIB = 1024**3
INSIDE = Inside(processes=None, filtered=True)


def versions(engine: str, containerd: str, runc: str) -> dict[str, Any]:
    told = {"Engine": engine, "containerd": containerd, "runc": runc, "docker-init": "0.19.0"}
    return {
        "Platform": {"Name": ""},
        "Components": [{"Name": name, "Version": version} for name, version in told.items()],
        "Version": engine,
        "Os": "linux",
    }


DEBIAN_12_VERSION = versions("20.10.24+dfsg1", "1.6.20~ds1", "1.1.5+ds1")
DEBIAN_12_INFO: dict[str, Any] = {
    "Driver": "overlay2",
    "DriverStatus": [["Backing Filesystem", "extfs"], ["Supports d_type", "true"]],
    "MemoryLimit": True,
    "SwapLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
    "CgroupDriver": "cgroupfs",
    "CgroupVersion": "1",
    "KernelVersion": "6.1.0-9-amd64",
    "DockerRootDir": "/var/lib/docker",
    "ServerVersion": "20.10.24+dfsg1",
    "Runtimes": {
        "io.containerd.runc.v2": {"path": "runc"},
        "io.containerd.runtime.v1.linux": {"path": "runc"},
        "runc": {"path": "runc"},
    },
    "DefaultRuntime": "runc",
    "LiveRestoreEnabled": False,
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"],
}

DOCKER_28_VERSION = versions("28.2.2", "1.7.27", "1.2.5")

DOCKER_29_VERSION = versions("29.0.1", "v2.1.5", "1.3.3")
DOCKER_29_INFO: dict[str, Any] = {
    "Driver": "overlayfs",
    "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
    "MemoryLimit": True,
    "SwapLimit": True,
    "CpuCfsQuota": True,
    "PidsLimit": True,
    "CgroupDriver": "systemd",
    "CgroupVersion": "2",
    "KernelVersion": "6.12.48+deb13-amd64",
    "DockerRootDir": "/var/lib/docker",
    "ServerVersion": "29.0.1",
    "Runtimes": {
        "io.containerd.runc.v2": {"path": "runc"},
        "runc": {"path": "runc"},
        "runsc": {"path": "/usr/bin/runsc"},
    },
    "DefaultRuntime": "runc",
    "LiveRestoreEnabled": True,
    "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"],
}


def facts(
    version: dict[str, Any],
    info: dict[str, Any],
    *,
    free: int = 100 * GIB,
    quota: bool = False,
    io_uring: str = "0",
    inside: Inside | None = INSIDE,
) -> Facts:
    place = Volume(
        path=Path("/var/lib/berth"),
        free_bytes=free,
        total_bytes=200 * GIB,
        filesystem="ext4",
        project_quota=quota,
    )
    return Facts(
        info=msgspec.convert(info, Info),
        versions=msgspec.convert(version, Versions),
        volume=place,
        io_uring_disabled=io_uring,
        inside=inside,
    )
