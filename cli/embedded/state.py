"""The state directory of one embedded deployment: what lies where, and who holds it.

<home>/            0711 as root (others pass through to what is theirs), else 0700
  lock             flock of the running `berth up`, with its pid
  ports.json       the ports of the former run
  secrets/         0700, one file per secret
  run/  logs/      pid files; logs, rotated at each start
  postgres/        binaries (as root) and data
  objects/         the object store's buckets
  services/<name>/ what a service keeps of its own
  runtime-<…>/     interpreter and packages for other users (as root)
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from cli.embedded.access import User
from cli.embedded.errors import DiskFull, StateInUse, StateUnusable
from cli.embedded.ports import Ports
from cli.embedded.processes import Service
from cli.embedded.secret_files import SecretFiles

LEAST_FREE_BYTES = 500 * 1024 * 1024
"""A new Postgres takes 40 MB and logs 16 MB at a time; below this a start is refused."""

_SYSTEM_HOME = Path("/var/lib/berth")


def default_home() -> Path:
    return _SYSTEM_HOME if os.geteuid() == 0 else Path.home() / ".berth"


@dataclass(frozen=True, slots=True)
class StateDirectory:
    home: Path

    @property
    def secrets(self) -> SecretFiles:
        return SecretFiles(self.home / "secrets")

    @property
    def postgres(self) -> Path:
        return self.home / "postgres"

    @property
    def objects(self) -> Path:
        return self.home / "objects"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    def ports(self) -> Ports:
        return Ports(self.home / "ports.json")

    def of_service(self, name: str) -> Path:
        folder = self.home / "services" / name
        folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        return folder

    def service(
        self,
        name: str,
        argv: tuple[str, ...],
        *,
        env: dict[str, str],
        user: User | None = None,
        cwd: Path | None = None,
    ) -> Service:
        """A service whose pid file and log are where this layout puts them."""
        return Service(
            name=name,
            argv=argv,
            env=env,
            user=user,
            cwd=cwd or self.home,
            log_path=self.logs / f"{name}.log",
            pid_path=self.home / "run" / f"{name}.pid",
        )


@contextlib.contextmanager
def open_state(
    home: Path, *, least_free_bytes: int = LEAST_FREE_BYTES
) -> Generator[StateDirectory, None, None]:
    """Makes the directory and holds it; raises StateInUse, StateUnusable, DiskFull."""
    home = home.absolute()
    _make(home)
    with _locked(home):
        require_room(home, least_free_bytes)
        for folder in ("logs", "run"):
            (home / folder).mkdir(mode=0o700, exist_ok=True)
        yield StateDirectory(home)


def require_room(path: Path, least_free_bytes: int) -> None:
    free = shutil.disk_usage(path).free
    if free < least_free_bytes:
        raise DiskFull(
            f"Only {free // 2**20} MB are free where {path} lies; a start needs "
            f"{least_free_bytes // 2**20} MB. "
            "Free some space, or set BERTH_HOME to a directory on another disk."
        )


def _make(home: Path) -> None:
    mode = 0o711 if os.geteuid() == 0 else 0o700
    try:
        home.mkdir(parents=True, exist_ok=True)
        owner = home.stat().st_uid
        if owner != os.geteuid():
            raise StateUnusable(
                f"{home} belongs to uid {owner}, and this is uid {os.geteuid()}. "
                "Run berth as that user, or set BERTH_HOME to a directory of your own."
            )
        home.chmod(mode)
    except OSError as error:
        raise StateUnusable(
            f"{home} cannot be made the state directory: {error.strerror}. "
            "Set BERTH_HOME to a directory that you can write to."
        ) from error


@contextlib.contextmanager
def _locked(home: Path) -> Generator[None, None, None]:
    path = home / "lock"
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            raise StateInUse(
                f"{home} is in use by process {lock.read().strip() or '(unknown)'}. "
                "Stop that `berth up` first, or set BERTH_HOME to another directory."
            ) from error
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield
