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
    """The control plane or the store is cut off when it sends nothing for so long."""
    relay_first_byte_seconds: float = 600.0
    """For a named upstream to begin its answer, from the last byte of the request's body on."""
    relay_stream_silence_seconds: float = 120.0
    """A named upstream's answer that pauses for longer was cut; so is a request's body."""
    relay_body_bytes: int = 256 * 1024 * 1024
    """Of a request to a named upstream."""
    relay_head_seconds: float = 60.0
    """For the head of a request to be there; a connection that is kept is closed after as long."""
    relay_control_connections: int = 64
    """At once, on the socket of one executor; what comes besides is told to try again."""
    relay_agent_connections: int = 128
    """At once, on the socket of one agent."""
    relay_agent_requests: int = 64
    """Of one agent, under way at once."""
    log_level: str = "info"
    trace_exporter: str = "none"
    failpoints: str = ""
