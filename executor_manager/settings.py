"""The executor-manager's settings: one frozen struct, read once at start from `BERTH_*`."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from chassis.settings import Secret

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    state_dir: Path
    """Locked while we run: our id, the workers' directories, the relay. Keep its path short: those
    of the sockets in it may have 107 bytes."""
    control_plane_url: str
    object_store_url: str
    """As the relay reaches the store; presigned URLs are bound to this host."""
    service_key: Secret
    """Our key for the control plane; usually given as BERTH_SERVICE_KEY_FILE."""

    name: str = ""
    """As administrators see this manager; empty: the host's name."""
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8020
    """Health, metrics, and workspace bytes for gateways that bring a ticket."""
    advertise_url: str = ""
    """Where gateways reach this manager; empty: by `host` and `port`."""

    backend: Literal["process", "docker"] = "process"
    docker_host: str = "unix:///var/run/docker.sock"
    docker_call_seconds: Seconds = 15.0
    """For one call to the engine; a start and a stop get their own time on top."""
    executor_image: str = "berth-executor:latest"
    images: tuple[str, ...] = ()
    """What apps may name besides `executor_image`: `name:tag` or `name:tag@sha256:…`, which allows
    that alone. They must be on this host, and are never pulled."""
    runtimes: tuple[str, ...] = ("runsc",)
    """Which of the engine's runtimes apps may name besides its default. Each is tried when the
    manager starts: gVisor needs `--host-uds=all`."""
    preflight_waived: tuple[str, ...] = ()
    """Of `engine_version`, `runc_version`, `containerd_version` and `kernel` those that you answer
    for, where a distribution mends without raising the number."""
    sockets_dir: Path | None = None
    """With `docker`: the directories of sockets, alone, so that the relay sees nothing else of a
    session. None: below `state_dir`. Keep it short, as `state_dir`."""
    state_host_dir: Path | None = None
    """`state_dir` as the engine's host sees it. None: found from our own container's mounts, or the
    same where we run in none."""
    sockets_host_dir: Path | None = None
    """`sockets_dir` as the engine's host sees it; see `state_host_dir`."""
    default_cpus: Annotated[float, msgspec.Meta(ge=0.1)] = 2.0
    """Of a session whose limits nobody set; as the following three."""
    default_memory_mib: Annotated[int, msgspec.Meta(ge=64)] = 2048
    default_pids: Annotated[int, msgspec.Meta(ge=16)] = 512
    default_disk_mib: Annotated[int, msgspec.Meta(ge=16)] | None = None
    """None: sessions whose disk nobody limits share the volume of the workspaces."""
    volumes_socket: Path | None = None
    """With `docker`: the helper `volumes`, by which disk limits are images of that size, where the
    engine's own volumes have no quota. None: limits are watched only."""
    tmpfs_disk_mib: Annotated[int, msgspec.Meta(ge=0)] = 0
    """With `docker`: disks up to this size are in memory, and gone with their container: what was
    written since the last save is lost when it ends. 0: none are."""
    tmp_mib: Count = 512
    """Of a session's /tmp, in memory; a quarter of its memory limit at most."""
    home_mib: Count = 1024
    """Of an agent's HOME, in memory, half of its limit at most; its own sessions are in the
    workspace."""
    container_log_mib: Count = 10
    max_workers: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 8
    warm_containers: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    """With `docker`: containers kept started and paused beforehand, besides `max_workers` and never
    more than those; a session that asks for nothing special begins in one. Some 80 MiB each."""
    activations_at_once: Count = 4
    sandbox: Literal["auto", "bwrap", "none"] = "auto"
    """With `process`: bubblewrap around each session, with a network, processes and files of its
    own. `auto`: where it works; `bwrap`: no start without it."""
    sandbox_readable: tuple[Path, ...] = ()
    """What sandboxed sessions may read besides programs: absolute paths, files and all below."""
    sandbox_writable: tuple[Path, ...] = ()
    """Directories that they may write to besides their own: what one writes there, all read."""
    executor_python: Path | None = None
    """The interpreter that runs executors; none: our own."""
    executor_env_json: dict[str, str] = {}
    """Added to an executor's environment, as a JSON object; for instance PATH and PYTHONPATH."""
    executor_uid: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """As root: the user that executors run as. None: our own."""
    executor_gid: Annotated[int, msgspec.Meta(ge=1)] | None = None
    executor_log_bytes: Count = 4 * 1024 * 1024
    executor_failpoints: str = ""

    activate_deadline_seconds: Seconds = 60.0
    stop_grace_seconds: Seconds = 10.0
    supersede_deadline_seconds: Seconds = 330.0
    """How long a superseded worker may take to save aside; then it is started anew, once."""
    restarts: Annotated[int, msgspec.Meta(ge=0)] = 3
    """Of one worker in the same epoch, in a row; after that its epoch ends."""
    restart_backoff_seconds: Seconds = 0.5
    healthy_after_seconds: Seconds = 60.0
    """A worker that ran for so long has its restarts forgiven."""
    answered_within_seconds: Seconds = 10.0
    """Only a worker whose executor answered us so recently has its lease renewed."""
    claim_wait_seconds: Annotated[float, msgspec.Meta(ge=0, le=30)] = 20.0
    commands_wait_seconds: Annotated[float, msgspec.Meta(ge=0, le=30)] = 20.0
    status_interval_seconds: Seconds = 1.0
    supervision_interval_seconds: Seconds = 1.0
    idle_interval_seconds: Seconds = 2.0
    idle_after_when_full_seconds: Seconds = 2.0
    """Where no place is free, the worker that is idle longest, and for so long, is stopped."""
    relay_interval_seconds: Seconds = 1.0
    relay_wait_seconds: Seconds = 20.0
    """How long the relay holds a request while its upstream is away."""
    relay_tunnel_networks: tuple[str, ...] = ()
    """Of your own, for a relay of ours: `BERTH_RELAY_TUNNEL_NETWORKS` of one that is a service."""
    relay_admin_socket: Path | None = None
    """Of a relay that runs as a service of its own. None: ours is started and kept."""
    agent_upstreams_file: Path | None = None
    """JSON: the named upstreams that every agent may reach (`contracts.relay.NamedUpstream`),
    besides `models` and `tools` of the control plane; one of such a name replaces it, and
    `as_worker` is theirs alone. Credentials are named in it; their values are the relay's: of a
    relay of ours, files in `<state_dir>/relay/credentials`."""
    pypi_url: str = "https://pypi.org"
    """The Python package index (its `/simple/`) of agents whose policy reads packages."""
    pypi_file_hosts: tuple[str, ...] = ("https://files.pythonhosted.org",)
    """Where its links may lead besides itself; the relay fetches files from nowhere else."""
    npm_url: str = "https://registry.npmjs.org"
    """The npm registry, alike."""
    tunnel_mib_per_hour: Count = 1024
    """Of one worker, both ways, to the hosts that its policy names; a policy may say otherwise."""
    tunnel_connections: Count = 64
    """Of one worker at once."""

    drain_on_stop: bool = False
    """SIGTERM ends all workers, saved and released, and the relay. Off: they live on."""
    drain_deadline_seconds: Seconds = 60.0
    graceful_seconds: Seconds = 2.0

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    trace_exporter: str = "none"
    failpoints: str = ""
    """For tests: see `chassis.failpoints`."""
