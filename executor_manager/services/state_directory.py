"""The state directory: one manager at a time, and the same id for ever."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Generator
from pathlib import Path
from uuid import UUID

from chassis.ids import new_id

MODE_SHARED = 0o711
"""Executors of another user pass through to their own directories."""


class StateInUse(Exception):
    """The message says what to do."""


@contextlib.contextmanager
def locked(state_dir: Path, *, shared: bool) -> Generator[None]:
    """Raises `StateInUse`. `shared`: executors run as another user."""
    state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    if shared:
        state_dir.chmod(MODE_SHARED)
    with (state_dir / "manager.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise StateInUse(
                f"another executor-manager (pid {holder}) uses {state_dir}: stop that one,"
                " or give this one a directory of its own in BERTH_STATE_DIR"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def manager_id(state_dir: Path) -> UUID:
    """Made once. Whoever copies the directory copies the identity: only one of them is heard."""
    path = state_dir / "manager_id"
    if not path.exists():
        beside = path.with_name("manager_id.new")
        with beside.open("w") as file:
            file.write(f"{new_id()}\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    return UUID(path.read_text().strip())


def host_name() -> str:
    return socket.gethostname()
