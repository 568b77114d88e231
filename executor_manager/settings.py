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
    """Health and metrics only."""

    backend: Literal["process"] = "process"
    max_workers: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 8
    activations_at_once: Count = 4
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

    drain_on_stop: bool = False
    """SIGTERM ends all workers, saved and released, and the relay. Off: they live on."""
    drain_deadline_seconds: Seconds = 60.0
    graceful_seconds: Seconds = 2.0

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    trace_exporter: str = "none"
    failpoints: str = ""
    """For tests: see `chassis.failpoints`."""
