"""The embedded Postgres: started, watched and stopped by us, on loopback TCP with passwords only.

Two roles: `postgres`, the superuser, for ourselves; `berth`, which owns the database, for the
control plane. The state directory's lock decides who may hold the data; a postmaster that a former
run left behind is ended before a new one starts. A killed server recovers at its next start.
"""

import asyncio
import signal
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from cli.embedded.access import User, require_traversable
from cli.embedded.errors import (
    EmbeddedError,
    PortTaken,
    StartFailed,
    WrongPassword,
    full_disk_explained,
)
from cli.embedded.identity import ProcessIdentity
from cli.embedded.ports import LOOPBACK, Ports
from cli.embedded.postgres_binaries import locate
from cli.embedded.postgres_cluster import SUPERUSER, Cluster, explain
from cli.embedded.processes import Service, ServiceProcess, ready_or_ended
from cli.embedded.secret_files import read_secret

OWNER = "berth"

FAST = signal.SIGINT
"""Ends the connections, writes a checkpoint: the ordinary stop."""
IMMEDIATE = signal.SIGQUIT
"""Leaves at once; the next start recovers."""

SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "max_connections": "120",
    "shared_buffers": "128MB",
    "idle_in_transaction_session_timeout": "60s",
    "autovacuum_naptime": "15s",
    "max_wal_size": "512MB",
    "lc_messages": "C",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
TEST_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "32MB",
}
"""`synchronous_commit` stays on: the order of things is what tests look at."""

_TRIES = 5
_READY_WITHIN = 60.0
"""Seconds; recovery after a crash replays at most `max_wal_size`."""
_STOPPED_WITHIN = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresConfig:
    folder: Path
    """Holds the data and, where another user needs them, the programs."""
    log_path: Path
    pid_path: Path
    superuser_password: Path
    owner_password: Path
    ports: Ports
    user: User | None = None
    """Needed where we are root; see `access.database_user`."""
    port: int | None = None
    """None or 0: the former one, or any that is free."""
    test_tuning: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    port: int
    recovered: bool
    """The former server had not been shut down: it was killed, or the machine was."""
    created: bool
    """The data directory is new."""


class EmbeddedPostgres:
    def __init__(self, config: PostgresConfig) -> None:
        self._config = config
        self._data = config.folder / "data"
        self._port = 0
        self._process = ServiceProcess(self._service(("postgres",)))

    @property
    def process(self) -> ServiceProcess:
        return self._process

    async def start(self) -> Started:
        """Ready when it returns. Raises an EmbeddedError that says what to do."""
        with full_disk_explained(self._config.folder):
            return await self._start()

    async def _start(self) -> Started:
        config = self._config
        cluster = await asyncio.to_thread(self._prepare)
        created = not self._data.exists()
        if created:
            await asyncio.to_thread(
                cluster.create, password_file=config.superuser_password, sync=not config.test_tuning
            )
        cluster.require_version()
        await self._end_former()
        recovered = not created and not await asyncio.to_thread(cluster.was_shut_down)
        self._port = config.ports.pick("postgres", wanted=config.port or None)
        await self._launch(cluster)
        await self._ensure_owner()
        return Started(port=self._port, recovered=recovered, created=created)

    async def stop(self, how: signal.Signals = FAST, *, deadline: float = _STOPPED_WITHIN) -> bool:
        """False when it had to be killed."""
        return await self._process.stop(deadline=deadline, how=how)

    def url(self, database: str = OWNER, *, role: str = OWNER) -> str:
        """Holds the password: for a file of mode 0600 or our own memory, never for argv."""
        config = self._config
        path = config.superuser_password if role == SUPERUSER else config.owner_password
        return f"postgresql://{role}:{read_secret(path)}@{LOOPBACK}:{self._port}/{database}"

    def _prepare(self) -> Cluster:
        config = self._config
        config.folder.mkdir(parents=True, exist_ok=True)
        if config.user is not None:
            config.folder.chmod(0o711)
            require_traversable(config.folder, config.user)
        programs = locate(user=config.user, copies=config.folder)
        return Cluster(data=self._data, programs=programs, user=config.user)

    async def _end_former(self) -> None:
        """Ends a postmaster of a former run; a pid file that names another process is removed."""
        await self._process.end_stale()
        path = self._data / "postmaster.pid"
        try:
            former = ProcessIdentity.of(int(path.read_text().splitlines()[0]))
        except (FileNotFoundError, ValueError, IndexError):
            former = None
        if former is not None and self._works_here(former):
            former.send(FAST)
            if not await former.gone(within=_STOPPED_WITHIN):
                former.send(signal.SIGKILL)
                await former.gone(within=_STOPPED_WITHIN)
        path.unlink(missing_ok=True)

    def _works_here(self, process: ProcessIdentity) -> bool:
        """A postmaster's working directory is its data directory."""
        try:
            return Path(f"/proc/{process.pid}/cwd").resolve() == self._data.resolve()
        except OSError:
            return False

    async def _launch(self, cluster: Cluster) -> None:
        """Again if the port was taken in between, or a killed server's children still leave."""
        for attempt in range(_TRIES):
            try:
                return await self._launch_once(cluster)
            except PortTaken:
                if self._config.port or attempt == _TRIES - 1:
                    raise
                self._port = self._config.ports.pick_again("postgres")
            except _StillLeaving:
                if attempt == _TRIES - 1:
                    raise
                await asyncio.sleep(0.25 * 2**attempt)
        return None

    async def _launch_once(self, cluster: Cluster) -> None:
        settings = {**SETTINGS, **(TEST_SETTINGS if self._config.test_tuning else {})}
        options = [f"--{name}={value}" for name, value in settings.items()]
        program = cluster.programs.program("postgres")
        argv = (program, "-D", str(self._data), f"--port={self._port}", *options)
        self._process = ServiceProcess(self._service(argv))
        self._process.start()
        probe = asyncio.create_task(self._answers())
        try:
            outcome = await ready_or_ended(self._process, within=_READY_WITHIN, probe=probe)
        except asyncpg.InvalidPasswordError as error:
            await self.stop()
            raise WrongPassword(
                f"The password in {self._config.superuser_password} is not the one that "
                f"{self._data} was made with. Put the former secrets back, or set BERTH_HOME to a "
                "new directory."
            ) from error
        if outcome != "ready":
            log = self._process.log_tail()
            await self.stop(IMMEDIATE)
            raise _why_not(outcome, log, self._port)

    async def _answers(self) -> None:
        while True:
            try:
                connection = await asyncpg.connect(self.url(SUPERUSER, role=SUPERUSER), timeout=5)
            except (OSError, asyncpg.CannotConnectNowError, asyncpg.ConnectionDoesNotExistError):
                await asyncio.sleep(0.03)
            else:
                await connection.close()
                return

    async def _ensure_owner(self) -> None:
        """The control plane's role and database, with the password that its file holds now."""
        connection = await asyncpg.connect(self.url(SUPERUSER, role=SUPERUSER))
        try:
            known = await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", OWNER)
            password = read_secret(self._config.owner_password)
            verb = "ALTER" if known else "CREATE"
            await connection.execute(f"{verb} ROLE {OWNER} LOGIN PASSWORD '{password}'")
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", OWNER):
                await connection.execute(f"CREATE DATABASE {OWNER} OWNER {OWNER}")
        finally:
            await connection.close()

    def _service(self, argv: tuple[str, ...]) -> Service:
        config = self._config
        return Service(
            name="postgres",
            argv=argv,
            user=config.user,
            log_path=config.log_path,
            pid_path=config.pid_path,
            stop_signal=FAST,
        )


class _StillLeaving(StartFailed):
    """Children of a killed postmaster still hold its shared memory."""


def _why_not(outcome: str, log: str, port: int) -> EmbeddedError:
    what = "Postgres ended at once" if outcome == "ended" else "Postgres did not become ready"
    if "Address already in use" in log:
        return PortTaken(
            f"Port {port} for Postgres is taken by another process. "
            "Stop that process, or choose another port."
        )
    if "shared memory block" in log and "still in use" in log:
        return _StillLeaving(f"{what}: processes of a killed server still hold its data.\n{log}")
    return explain(what, log)
