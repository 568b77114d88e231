"""Sockets that a service listens on: a port, or a path."""

import errno
import socket
import stat
from pathlib import Path

BACKLOG = 1024
UNTAKEN_MILLISECONDS = 120_000
"""What a peer does not take, or does not say to have got, for so long ends its connection, also one
that was closed here and only waits for that."""


class PortTaken(Exception):
    """Another process listens there."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"port {port} on {host} is taken by another process:"
            f" stop that one, or choose another port in BERTH_PORT"
        )
        self.port = port


def bind(*, host: str = "127.0.0.1", port: int = 0, uds: str | None = None) -> socket.socket:
    """A listening socket: callers wait in its backlog until the app has started."""
    if uds is not None:
        return _bind_path(Path(uds))
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's delay (40 ms an answer) off only where it sees this protocol's number
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # inherited by each connection
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNTAKEN_MILLISECONDS)
    try:
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(host, port) from error
        raise
    return listener


def _bind_path(path: Path) -> socket.socket:
    # what a killed predecessor left; a live one is kept apart by whoever owns the directory
    if path.exists() and stat.S_ISSOCK(path.stat().st_mode):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
