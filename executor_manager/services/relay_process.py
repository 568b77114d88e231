"""The relay's process: started when there is none, found again by its admin socket, never a child
that ends with us.
"""

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from chassis.logs import get_logger
from executor_manager.containers.procfs import Process, look, send

ADMIN_SOCKET = "a/admin.sock"
PID_FILE = "relay.pid"
CREDENTIALS = "credentials"
"""Put there by the operator; a relay that is a service of its own has its own place for them."""
LOG = "relay.log"
LOG_BYTES = 8 * 1024 * 1024
ENDS_WITHIN = 5.0

_log = get_logger()


class RelayProcess:
    """All of it blocks: for threads."""

    def __init__(
        self,
        directory: Path,
        *,
        wait_seconds: float,
        tunnel_networks: Sequence[str],
        log_level: str,
    ) -> None:
        self._directory = directory
        self._environment = {
            "PATH": os.defpath,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "BERTH_RELAY_DIR": str(directory),
            "BERTH_RELAY_CREDENTIALS_DIR": str(directory / CREDENTIALS),
            "BERTH_RELAY_WAIT_SECONDS": str(wait_seconds),
            "BERTH_RELAY_TUNNEL_NETWORKS": ",".join(tunnel_networks),
            "BERTH_LOG_LEVEL": log_level,
        }
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """One that is there already makes the new one end by itself."""
        if self._child is not None and self._child.poll() is None:
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = self._directory / LOG
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(self._directory / f"{LOG}.1")
        with log.open("ab") as output:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "executor_manager.relay"],
                env=self._environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        _log.info("relay_starting", pid=self._child.pid)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """A SIGKILL is for one that hangs: its sessions wait until the next is there."""
        process = self._running()
        if process is not None:
            send(process, number)
        if self._child is not None:
            try:
                self._child.wait(ENDS_WITHIN)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()

    def _running(self) -> Process | None:
        """By its pid file, which it holds locked: what is not locked is a dead one's."""
        try:
            with (self._directory / PID_FILE).open() as file:
                if not _held(file):
                    return None
                seen = look(int(file.read().strip() or 0))
        except (OSError, ValueError):
            return None
        return seen.process if seen else None


def _held(file: TextIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
