"""The relay's settings. Routes and tokens are none of them: they are pushed, never on disk."""

from pathlib import Path

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    relay_dir: Path
    """0700: the admin socket, the lock and the pid file."""
    relay_sockets_dir: Path | None = None
    """Only directories below it may be pushed; None: any."""
    relay_credentials_dir: Path | None = None
    """One file per credential that a policy may name, its value in it; None: there is none."""
    relay_wait_seconds: float = 20.0
    """How long a request waits for an upstream that does not accept connections."""
    relay_call_deadline_seconds: float = 60.0
    """For a whole call to the control plane."""
    relay_transfer_deadline_seconds: float = 900.0
    """For a whole transfer to or from the object store; a presigned URL lives as long at most."""
    relay_silence_seconds: float = 60.0
    """An upstream that sends nothing for so long is cut off."""
    log_level: str = "info"
    trace_exporter: str = "none"
    failpoints: str = ""
