"""The relay's settings. Routes and tokens are none of them: they are pushed, never on disk."""

from ipaddress import ip_network
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
    relay_index_bytes: int = 32 * 1024 * 1024
    """Of one page of a package index, unpacked; files have no limit."""
    relay_index_room_bytes: int = 128 * 1024 * 1024
    """Of all pages that are passed on at once; half of it for one session. Up to four times as much
    memory is taken while links are led back."""
    relay_index_seconds: float = 60.0
    """For a page to be there whole, and again for the agent to read it."""
    relay_tunnel_networks: list[str] = []
    """Of your own: networks (`10.1.0.0/16`) that the names in egress policies may lead to, besides
    public addresses. Link-local, multicast and metadata addresses are never among them."""
    relay_resolve_seconds: float = 5.0
    """For a tunnel's name to be resolved."""
    relay_dial_seconds: float = 10.0
    """For one of its addresses to accept the connection."""
    relay_hello_seconds: float = 10.0
    """For the agent's first TLS message to be there whole."""
    relay_tunnel_idle_seconds: float = 600.0
    """A tunnel through which nothing passes for so long is cut."""
    relay_denials_seconds: float = 2.0
    """How long equal denials are gathered before the control plane is told of them."""
    log_level: str = "info"
    trace_exporter: str = "none"
    failpoints: str = ""

    def __post_init__(self) -> None:
        for text in self.relay_tunnel_networks:
            try:
                ip_network(text)
            except ValueError as error:
                raise ValueError(
                    f"BERTH_RELAY_TUNNEL_NETWORKS: {error}: give networks as 10.1.0.0/16"
                ) from error
