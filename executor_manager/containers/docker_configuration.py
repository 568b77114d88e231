"""The whole configuration of a container, made here and nowhere else.

Nothing of it is taken from what a session says, and no secret is in it: `docker inspect` shows all.

The first process is uid 0 with three capabilities, for with `no-new-privileges` nobody else could
ever become the agent's user; agents and all that touches their files run as `AGENT`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from executor_manager.containers.backend import ContainerSpec, Directories, Identity, Limits
from executor_manager.containers.places import Owner

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

RUN_MIB = 16
LOG_FILES = 2
OPEN_FILES = 8192
PERIOD_NANO_CPUS = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerOptions:
    manager_id: UUID
    image: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """For every executor, besides what is set here. No secrets."""
    tmp_mib: int = 512
    home_mib: int = 1024
    log_mib: int = 10


def session_container(
    options: DockerOptions, spec: ContainerSpec, on_host: Directories
) -> dict[str, Any]:
    """`on_host`: its directories, as the engine's host sees them."""
    home = f"rw,exec,nosuid,nodev,mode=700,uid={AGENT.uid},gid={AGENT.gid},size={options.home_mib}m"
    host = {
        **_hardened(options, spec.limits),
        "CapAdd": ["SETUID", "SETGID", "KILL"],
        "Mounts": [
            _bind(str(on_host.workspace), WORKSPACE),
            _bind(str(on_host.spool), SPOOL),
            _bind(str(on_host.control), CONTROL),
            _bind(str(on_host.agent), AGENT_SOCKETS),
        ],
        "Tmpfs": {
            TMP: f"rw,exec,nosuid,nodev,mode=1777,size={options.tmp_mib}m",
            "/run": f"rw,noexec,nosuid,nodev,mode=755,size={RUN_MIB}m",
            HOME: home,
        },
    }
    return {
        "Image": spec.image or options.image,
        "User": "0:0",
        "Env": _environment(options, spec),
        "Labels": labels(options.manager_id, spec.identity),
        "StopSignal": "SIGTERM",
        "HostConfig": host,
    }


def probe_container(options: DockerOptions, command: list[str]) -> dict[str, Any]:
    """One that prints something about the image, with nothing of anybody's in it."""
    return {
        "Image": options.image,
        "User": f"{AGENT.uid}:{AGENT.gid}",
        "Env": [f"{name}={value}" for name, value in sorted(options.environment.items())],
        "Labels": {ROLE: PROBE_ROLE, MANAGER: str(options.manager_id)},
        "Entrypoint": command[:1],
        "Cmd": command[1:],
        "WorkingDir": "/",
        "HostConfig": {
            **_hardened(options, Limits(memory_bytes=512 * 1024 * 1024, pids=64)),
            "Tmpfs": {TMP: "rw,noexec,nosuid,nodev,size=16m"},
        },
    }


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


def _environment(options: DockerOptions, spec: ContainerSpec) -> list[str]:
    identity = spec.identity
    told = {
        **options.environment,
        **spec.environment,
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


def _hardened(options: DockerOptions, limits: Limits) -> dict[str, Any]:
    cpus, memory = limits.cpus, limits.memory_bytes
    return {
        "NetworkMode": "none",
        "IpcMode": "private",
        "CapDrop": ["ALL"],
        "SecurityOpt": ["no-new-privileges"],
        "ReadonlyRootfs": True,
        "Init": True,
        "RestartPolicy": {"Name": "no"},
        "LogConfig": {
            "Type": "json-file",
            "Config": {"max-size": f"{options.log_mib}m", "max-file": str(LOG_FILES)},
        },
        "Ulimits": [
            {"Name": "nofile", "Soft": OPEN_FILES, "Hard": OPEN_FILES},
            {"Name": "core", "Soft": 0, "Hard": 0},
        ],
        "PidsLimit": limits.pids,
        # memory and swap together: equal, nothing is swapped
        **({"Memory": memory, "MemorySwap": memory} if memory else {}),
        **({"NanoCpus": int(cpus * PERIOD_NANO_CPUS)} if cpus else {}),
    }


def _bind(source: str, target: str) -> dict[str, Any]:
    """Of a source that must be there: the engine makes none. How mounts propagate is left to the
    engine: below its own root, where volumes are, it refuses the private way.
    """
    return {"Type": "bind", "Source": source, "Target": target}
