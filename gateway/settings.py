"""What the gateway is told at its start."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from chassis.settings import Secret

Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    host: str = "127.0.0.1"
    port: int = 8080

    control_plane_url: str
    signing_key: Secret
    """Ed25519, PEM, in the gateway only; usually given as BERTH_SIGNING_KEY_FILE."""
    service_key: Secret
    """The gateway's own key for the control plane; usually given as BERTH_SERVICE_KEY_FILE."""

    requests_per_minute: Annotated[int, msgspec.Meta(ge=1)] = 600
    """For one key in one gateway process, unless the key has a limit of its own."""
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1)] = 64 * 1024 * 1024
    max_import_bytes: Annotated[int, msgspec.Meta(ge=1)] = 16 * 1024 * 1024 * 1024
    """Of a session's archive, which streams through."""
    max_upload_bytes: Annotated[int, msgspec.Meta(ge=1)] = 1024 * 1024 * 1024
    """One file that is written into a workspace, or one upload."""
    cors_origins: list[str] = []
    """Origins of browsers' pages that may call; `*` for all. Empty: only the gateway's own."""
    portal_dir: Path | None = None
    """The built portal's files; absent: no portal is served."""

    terminal_check_seconds: Seconds = 60.0
    """How often the caller of an open terminal is looked at again: its key, role and worker."""
    most_terminals: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """WebSockets to terminals that are open at once in this process."""

    connect_seconds: Seconds = 3.0
    first_byte_seconds: Seconds = 330.0
    """From the request's last byte to the answer's first: `Prefer: wait` may take minutes."""
    idle_seconds: Seconds = 60.0
    """Silence on a body, in either direction. Event streams have a heartbeat every 10 s."""
    graceful_seconds: Seconds = 30.0
    """How long a stop waits for what is under way."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    trace_exporter: str = "none"
