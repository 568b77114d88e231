"""Loopback ports, kept from run to run so that addresses stay the same.

New ones come from below the kernel's range for outgoing connections: a port of that range can be
taken by anybody's next `connect` between our look and the service's bind.
"""

import json
import secrets
import socket
from pathlib import Path
from typing import Any

from cli.embedded.errors import PortTaken
from cli.embedded.processes import write_whole

LOOPBACK = "127.0.0.1"
_LOWEST, _HIGHEST = 15_000, 32_000
_TRIES = 200


class Ports:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._remembered = _load(path)
        self._given: dict[str, int] = {}

    def pick(self, name: str, *, wanted: int | None = None) -> int:
        """`wanted` (PortTaken if somebody has it), else the former run's port, else a new one."""
        if wanted is not None and not is_free(wanted):
            raise PortTaken(
                f"Port {wanted} for {name} is taken by another process. "
                "Stop that process, or choose another port (0 lets Berth pick one)."
            )
        port = wanted or self._remembered.get(name)
        others = {given for owner, given in self._given.items() if owner != name}
        if port is None or port in others or not is_free(port):
            port = self._fresh()
        self._given[name] = port
        self._remembered[name] = port
        write_whole(self._path, json.dumps(self._remembered))
        return port

    def pick_again(self, name: str) -> int:
        """Another one, after the one from `pick` was taken before the service could bind it."""
        self._remembered.pop(name, None)
        return self.pick(name)

    def remembered(self) -> dict[str, int]:
        """Of the former run, or of the one that is under way."""
        return dict(self._remembered)

    def _fresh(self) -> int:
        for _ in range(_TRIES):
            port = _LOWEST + secrets.randbelow(_HIGHEST - _LOWEST)
            if port not in self._given.values() and is_free(port):
                return port
        raise PortTaken(
            f"No free port between {_LOWEST} and {_HIGHEST} on {LOOPBACK}; end what listens there."
        )


def is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _load(path: Path) -> dict[str, int]:
    try:
        found: Any = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {str(name): int(port) for name, port in found.items()}
