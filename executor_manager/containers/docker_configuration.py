"""The whole configuration of a container, made here and nowhere else.

Nothing of it is taken from what a session says, and no secret is in it: `docker inspect` shows all.
What an app chose was judged before (`broker`) and comes as an image's id and a runtime's name.

The first process is uid 0 with three capabilities, for with `no-new-privileges` nobody else could
ever become the agent's user; agents and all that touches their files run as `AGENT`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from contracts.containers import is_sandbox
from executor_manager.containers.backend import Directories, Identity, Limits
from executor_manager.containers.docker_disks import workspace_mount
from executor_manager.containers.places import Owner, Record

AGENT = Owner(10001, 10001)
WORKSPACE = "/workspace"
SPOOL = "/berth/spool"
CONTROL = "/berth/control"
AGENT_SOCKETS = "/berth/agent"
HOME = "/home/agent"
TMP = "/tmp"  # noqa: S108  # a tmpfs of the container's own

ROLE = "berth.role"
MANAGER = "berth.manager"
SESSION_ROLE = "session"
PROBE_ROLE = "probe"
WORKSPACE_ROLE = "workspace"
CGROUP = "/sys/fs/cgroup"

MIB = 1024 * 1024
RUN_MIB = 16
LOG_FILES = 2
OPEN_FILES = 8192
SHARED_MIB = 64
TMPFS_FILES = 262_144
"""In each of /tmp and HOME: what has no bytes takes memory too."""
RUN_FILES = 4096
STOP_SECONDS = 20
"""Of an engine that shuts down; a manager that stops a container says how long itself."""
FIRST_TO_GO = 500
"""When the host runs out of memory: sessions before what serves them all."""
PERIOD_NANO_CPUS = 1_000_000_000
POWERS = ("SETUID", "SETGID", "KILL")
MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
"""Those of the newest engines, of whom the older ones mask fewer by themselves."""
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerOptions:
    manager_id: UUID
    image: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """For every executor, besides what is set here. No secrets."""
    images: tuple[str, ...] = ()
    """What apps may name besides `image`."""
    runtimes: tuple[str, ...] = ()
    """And what they may run in besides the engine's default."""
    boot_id: str = ""
    """The host's, for executors whose kernel is not the host's."""
    waived: tuple[str, ...] = ()
    """Checks of the preflight that the administrator answers for."""
    tmp_mib: int = 512
    home_mib: int = 1024
    log_mib: int = 10


def session_container(
    options: DockerOptions, record: Record, on_host: Directories
) -> dict[str, Any]:
    """`on_host`: its directories, as the engine's host sees them."""
    home = f"rw,exec,nosuid,nodev,mode=700,uid={AGENT.uid},gid={AGENT.gid}"
    # what is in them is memory of the container: filled, they must leave some
    tmp = _part(options.tmp_mib, record.limits, 4)
    own = _part(options.home_mib, record.limits, 2)
    host = {
        **_hardened(options, record.limits),
        **({"Runtime": record.runtime} if record.runtime else {}),
        "CapAdd": [*POWERS],
        "Mounts": [
            _workspace(options, record, on_host),
            _bind(str(on_host.spool), SPOOL),
            _bind(str(on_host.control), CONTROL),
            _bind(str(on_host.agent), AGENT_SOCKETS),
        ],
        "Tmpfs": {
            TMP: f"rw,exec,nosuid,nodev,mode=1777,{_sized(tmp, TMPFS_FILES)}",
            "/run": f"rw,noexec,nosuid,nodev,mode=755,{_sized(RUN_MIB, RUN_FILES)}",
            HOME: f"{home},{_sized(own, TMPFS_FILES)}",
        },
    }
    return {
        "Image": record.image or options.image,
        "User": "0:0",
        "Env": _environment(options, record),
        "Labels": labels(options.manager_id, record.identity),
        **_ended(),
        "HostConfig": host,
    }


def probe_container(options: DockerOptions, command: list[str]) -> dict[str, Any]:
    """One that prints something about the image, with nothing of anybody's in it."""
    return {
        "Image": options.image,
        "User": f"{AGENT.uid}:{AGENT.gid}",
        "Env": [f"{name}={value}" for name, value in sorted(options.environment.items())],
        "Labels": {ROLE: PROBE_ROLE, MANAGER: str(options.manager_id)},
        **_ended(),
        "Entrypoint": command[:1],
        "Cmd": command[1:],
        "WorkingDir": "/",
        "HostConfig": {
            **_hardened(options, Limits(memory_bytes=512 * 1024 * 1024, pids=64)),
            "Tmpfs": {TMP: f"rw,noexec,nosuid,nodev,{_sized(16, RUN_FILES)}"},
        },
    }


def runtime_container(
    options: DockerOptions, runtime: str, command: list[str], on_host: Path
) -> dict[str, Any]:
    """One that finds out whether a session could live in it: with a session's powers, and one
    directory as its sockets have.
    """
    made = probe_container(options, command)
    host = {
        **made["HostConfig"],
        "Runtime": runtime,
        # a kernel of its own has threads of its own, which count
        "PidsLimit": 512,
        "CapAdd": [*POWERS],
        "Mounts": [_bind(str(on_host), CONTROL)],
    }
    return {**made, "User": "0:0", "HostConfig": host}


def labels(manager_id: UUID, identity: Identity) -> dict[str, str]:
    return {
        ROLE: SESSION_ROLE,
        MANAGER: str(manager_id),
        "berth.worker": str(identity.worker_id),
        "berth.session": str(identity.session_id),
        "berth.project": str(identity.project_id),
        "berth.epoch": str(identity.epoch),
    }


def identity_of(found: Mapping[str, str]) -> Identity | None:
    """None: the labels do not tell whose it is."""
    try:
        return Identity(
            worker_id=UUID(found["berth.worker"]),
            session_id=UUID(found["berth.session"]),
            project_id=UUID(found["berth.project"]),
            epoch=int(found["berth.epoch"]),
        )
    except (KeyError, ValueError):
        return None


def _workspace(options: DockerOptions, record: Record, on_host: Directories) -> dict[str, Any]:
    mine = {ROLE: WORKSPACE_ROLE, MANAGER: str(options.manager_id)}
    return workspace_mount(
        record.limits,
        on_host.workspace,
        WORKSPACE,
        name=record.name,
        labels=mine,
        owner=AGENT,
    )


def _environment(options: DockerOptions, record: Record) -> list[str]:
    identity, limits = record.identity, record.limits
    told = {
        **options.environment,
        **record.environment,
        **({"BERTH_DISK_BYTES": str(limits.disk_bytes)} if limits.disk_by == "watch" else {}),
        **({"BERTH_BOOT_ID": options.boot_id} if is_sandbox(record.runtime) else {}),
        "BERTH_CGROUP_DIR": CGROUP,
        "BERTH_WORKER_ID": str(identity.worker_id),
        "BERTH_SESSION_ID": str(identity.session_id),
        "BERTH_PROJECT_ID": str(identity.project_id),
        "BERTH_EPOCH": str(identity.epoch),
        "BERTH_WORKSPACE_DIR": WORKSPACE,
        "BERTH_SPOOL_DIR": SPOOL,
        "BERTH_CONTROL_DIR": CONTROL,
        "BERTH_AGENT_DIR": AGENT_SOCKETS,
        "BERTH_HOME_DIR": HOME,
        "BERTH_AGENT_UID": str(AGENT.uid),
        "BERTH_AGENT_GID": str(AGENT.gid),
    }
    return [f"{name}={value}" for name, value in sorted(told.items())]


def _ended() -> dict[str, Any]:
    """How it ends, and that nothing of the image runs beside its first process."""
    return {
        "StopSignal": "SIGTERM",
        "StopTimeout": STOP_SECONDS,
        "Healthcheck": {"Test": ["NONE"]},
    }


def _hardened(options: DockerOptions, limits: Limits) -> dict[str, Any]:
    """The engine's own filter of system calls is in force: no `seccomp=` takes its place."""
    cpus, memory = limits.cpus, limits.memory_bytes
    return {
        "NetworkMode": "none",
        "IpcMode": "private",
        "CgroupnsMode": "private",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "MaskedPaths": [*MASKED],
        "ReadonlyPaths": [*READ_ONLY],
        "ReadonlyRootfs": True,
        "Privileged": False,
        "Init": True,
        "AutoRemove": False,
        "RestartPolicy": {"Name": "no"},
        "ShmSize": _part(SHARED_MIB, limits, 8) * MIB,
        "OomScoreAdj": FIRST_TO_GO,
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": f"{options.log_mib}m", "max-file": str(LOG_FILES)},
        },
        "Ulimits": [
            {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
            {"Name": "core", "Soft": 0, "Hard": 0},
            # not nproc: an engine with a limit itself may raise nobody's, and would start nothing;
            # it is shared by all sessions' agents, whom their limits of pids hold first
        ],
        "PidsLimit": limits.pids,
        # memory and swap together: equal, nothing is swapped
        **({"Memory": memory, "MemorySwap": memory} if memory else {}),
        **({"NanoCpus": int(cpus * PERIOD_NANO_CPUS)} if cpus else {}),
    }


def _part(mib: int, limits: Limits, divisor: int) -> int:
    if limits.memory_bytes is None:
        return mib
    return max(1, min(mib, limits.memory_bytes // MIB // divisor))


def _sized(mib: int, files: int) -> str:
    return f"size={mib}m,nr_inodes={files}"


def _bind(source: str, target: str) -> dict[str, Any]:
    """Of a source that must be there: the engine makes none. How mounts propagate is left to the
    engine: below its own root, where volumes are, it refuses the private way.
    """
    return {"Type": "bind", "Source": source, "Target": target}
