"""A stack of our own, by the compose file that everybody uses: made from nothing, removed whole.

It has a project name, a port and times of its own. What its services say is kept when a case fails.
"""

import asyncio
import contextlib
import json
import random
import secrets
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import asyncpg
import boto3
import botocore.config
import msgspec
from docker.models.containers import Container

from cli.embedded.ports import is_free
from cli.settings import search_path
from control_plane.services.bootstrap import Bootstrapped
from tests.e2e.engine import Engine
from tests.fixtures.deadlines import eventually

ROOT = Path(__file__).parent.parent.parent
COMPOSE = ROOT / "docker-compose.yml"
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
PREFIX = "berth-e2e-"
"""Of the projects' names."""
STORE_IMAGE = "berth-store:ceph"
KEPT = 20_000
"""Bytes of each log that are kept of a failure."""

Environments = Mapping[str, Mapping[str, str]]

LEASE = 12.0
"""Longer than a manager takes to be made anew on a machine that has much else to do."""
SCALED: Environments = {
    "control-plane": {
        "BERTH_LEASE_SECONDS": f"{LEASE:g}",
        "BERTH_HEARTBEAT_SECONDS": "0.7",
        "BERTH_BACKOFF_BASE_SECONDS": "0.2",
        "BERTH_BACKOFF_CAP_SECONDS": "1",
        "BERTH_POLL_SECONDS": "0.5",
        "BERTH_CANCEL_GRACE_SECONDS": "2",
        "BERTH_CANCEL_DEADLINE_SECONDS": "10",
        "BERTH_GRACEFUL_SECONDS": "2",
        "BERTH_IDLE_AFTER_SECONDS": "15",
        "BERTH_REMOVE_AFTER_SECONDS": "1",
        "BERTH_WORKER_CALLS_PER_MINUTE": "3000",
    },
    "executor-manager": {
        "BERTH_MAX_WORKERS": "24",
        "BERTH_ANSWERED_WITHIN_SECONDS": "3",
        "BERTH_STATUS_INTERVAL_SECONDS": "0.5",
        "BERTH_SUPERVISION_INTERVAL_SECONDS": "0.5",
        "BERTH_IDLE_INTERVAL_SECONDS": "0.5",
        "BERTH_RELAY_INTERVAL_SECONDS": "0.5",
        "BERTH_RESTART_BACKOFF_SECONDS": "0.2",
        "BERTH_DEFAULT_MEMORY_MIB": "512",
        "BERTH_EXECUTOR_ENV_JSON": '{"BERTH_CHECKPOINT_INTERVAL_SECONDS": "1"}',
    },
    "gateway": {"BERTH_REQUESTS_PER_MINUTE": "1000000", "BERTH_GRACEFUL_SECONDS": "1"},
}
"""The times of a deployment, shortened; nothing else differs from what everybody starts."""


class CommandFailed(Exception):
    """With what the command said last."""


class Stack:
    """`url` and `key` from `up` on."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder = folder
        self.engine = engine
        self.project = f"{PREFIX}{secrets.token_hex(4)}"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = ""
        self.files = [COMPOSE]
        self.variables = {"BERTH_PORT": f"127.0.0.1:{self.port}", "S3_IMAGE": STORE_IMAGE}
        self.environments = {name: dict(values) for name, values in SCALED.items()}
        self.managers: set[str] = set()
        self.sessions: set[str] = set()
        """Names of their containers that there were when it was taken down."""
        self.given: dict[str, str] = {}
        """Secrets that others brought, by name: no session may hold one either."""
        self._s3: Any = None

    # --- compose ---------------------------------------------------------------------------

    async def compose(self, *words: str, within: float = 240) -> str:
        override = self.folder / "override.json"
        services = {name: {"environment": values} for name, values in self.environments.items()}
        anew = self.folder / f"override-{secrets.token_hex(4)}"
        anew.write_text(json.dumps({"services": services}))
        anew.replace(override)  # another case may be reading it
        return await command(
            str(Path(sys.executable).parent / "docker-compose"),
            "-p", self.project,
            *(word for file in (*self.files, override) for word in ("-f", str(file))), *words,
            env=self.variables, engine=self.engine.host, within=within,
        )  # fmt: skip

    async def up(self, **scale: int) -> None:
        """From nothing, until every service says that it is healthy."""
        scales = [f"--scale={name.replace('_', '-')}={count}" for name, count in scale.items()]
        await self.compose("up", "-d", "--wait", "--quiet-pull", *scales)
        made = await self.compose("run", "--rm", "-T", "cli", "keys", "create", "e2e")
        self.key = made.split()[-1]
        await self.learn_managers()

    async def set(self, service: str, **values: str) -> None:
        """Its settings from now on: its containers are made anew, as by an upgrade."""
        given = {f"BERTH_{name.upper()}": value for name, value in values.items()}
        self.environments.setdefault(service, {}).update(given)
        await self.compose("up", "-d", "--wait", "--no-deps", service)

    async def scale(self, service: str, count: int) -> None:
        await self.compose("up", "-d", "--wait", "--no-deps", f"--scale={service}={count}", service)

    async def down(self) -> None:
        """For good, as `make compose-down`: the manager first, which would make sessions anew."""
        with contextlib.suppress(Exception):
            await self.learn_managers()
        await self.compose("stop", "-t", "30", "executor-manager")
        for container in await self.own_sessions():
            self.sessions.add(str(container.name))
            await asyncio.to_thread(container.remove, force=True, v=True)
        await self.compose("down", "-v", "--remove-orphans", "-t", "10")

    async def learn_managers(self) -> None:
        rows = await self.fetch("SELECT id FROM managers")
        self.managers |= {str(row["id"]) for row in rows}

    async def new_project(self, name: str) -> Bootstrapped:
        """Another one, with a user and a key of its own."""
        words = ("python", "-m", "control_plane.bootstrap", "--project", name, "--user", name)
        made = await self.compose("exec", "-T", "control-plane", *words)
        return msgspec.json.decode(made, type=Bootstrapped)

    # --- what the engine has ---------------------------------------------------------------

    async def service(self, name: str, *, alive: bool = True) -> list[Container]:
        labels = (f"{PROJECT_LABEL}={self.project}", f"{SERVICE_LABEL}={name}")
        return await self.engine.containers(*labels, alive=alive)

    async def one(self, name: str) -> Container:
        found = await self.service(name, alive=False)
        assert found, f"there is no container of {name}"
        return found[0]

    async def address(self, name: str) -> str:
        return await self.engine.address(await self.one(name))

    async def published(self, service: str, port: int) -> list[int]:
        """The host's ports that lead to it, of all its containers that run."""
        found: set[int] = set()
        for container in await self.service(service):
            ports = (await self.engine.inspect(container))["NetworkSettings"]["Ports"]
            found |= {int(one["HostPort"]) for one in ports.get(f"{port}/tcp") or []}
        return sorted(found)

    async def secret(self, service: str, name: str) -> str:
        found = await self.engine.file(await self.one(service), f"/secrets/{name}")
        assert found is not None, f"{service} has no secret {name}"
        return found.decode().strip()

    async def secrets(self) -> dict[str, str]:
        """All that `init` made for this deployment."""
        found: dict[str, str] = {}
        for service in ("postgres", "s3", "control-plane", "gateway", "executor-manager"):
            files = await self.engine.files(await self.one(service), "/secrets")
            found |= {name: content.decode().strip() for name, content in files.items()}
        return found

    async def healthy(self, service: str) -> None:
        async def answers() -> bool:
            found = await self.service(service)
            states = [(await self.engine.inspect(one))["State"] for one in found]
            return bool(states) and all(one["Health"]["Status"] == "healthy" for one in states)

        await eventually(answers, f"{service} is not healthy", within=60)

    # --- what lies below -------------------------------------------------------------------

    async def fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        url = urlsplit(await self.secret("control-plane", "database-url"))
        login = url.netloc.rpartition("@")[0]
        place = f"{login}@{await self.address('postgres')}:{url.port or 5432}"
        connection = await asyncpg.connect(urlunsplit(url._replace(netloc=place)), timeout=30)
        try:
            return await connection.fetch(query, *values, timeout=60)
        finally:
            await connection.close(timeout=30)

    async def value(self, query: str, *values: object) -> Any:
        rows = await self.fetch(query, *values)
        return rows[0][0] if rows else None

    async def open_store(self) -> None:
        """Before the first `object`."""
        self._s3 = boto3.client(
            "s3",
            endpoint_url=f"http://{await self.address('s3')}:9000",
            aws_access_key_id=await self.secret("control-plane", "object-store-access-key"),
            aws_secret_access_key=await self.secret("control-plane", "object-store-secret-key"),
            region_name="us-east-1",
            config=botocore.config.Config(s3={"addressing_style": "path"}, proxies={}),
        )

    def object(self, key: str) -> bytes:
        return self._s3.get_object(Bucket="berth", Key=key)["Body"].read()

    def objects(self, prefix: str) -> dict[str, int]:
        """What the store lists below it: keys and sizes."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket="berth", Prefix=prefix)
        return {one["Key"]: one["Size"] for page in pages for one in page.get("Contents", [])}

    async def packs(self, session: UUID) -> dict[str, int]:
        """That this session uploaded, as the store lists them."""
        project = await self.value("SELECT project_id FROM sessions WHERE id = $1", session)
        found = self.objects(f"p/{project.hex}/s/{session.hex}/").items()
        return {key: size for key, size in found if key.endswith(".pack")}

    def put_object(self, key: str, content: bytes) -> None:
        self._s3.put_object(Bucket="berth", Key=key, Body=content)

    async def worker(self, session: UUID) -> asyncpg.Record:
        """The session's latest, as the database has it."""
        rows = await self.fetch(
            "SELECT * FROM session_workers WHERE session_id = $1 ORDER BY epoch DESC LIMIT 1",
            session,
        )
        assert rows, f"session {session} never had a worker"
        return rows[0]

    # --- of a failure ------------------------------------------------------------------------
    async def keep_logs(self, folder: Path) -> None:
        """Of every container of ours that is there, the engine's own state of it included."""
        await asyncio.to_thread(folder.mkdir, parents=True, exist_ok=True)
        ours = await self.engine.containers(f"{PROJECT_LABEL}={self.project}")
        for container in [*ours, *await self.own_sessions()]:
            with contextlib.suppress(Exception):  # it may go while it is looked at
                state = (await self.engine.inspect(container))["State"]
                log = (await self.engine.logs(container))[-KEPT:].decode(errors="replace")
                (folder / f"{container.name}.log").write_text(f"{json.dumps(state)}\n{log}")

    async def own_sessions(self) -> list[Container]:
        found = await self.engine.sessions()
        return [one for one in found if one.labels.get("berth.manager") in self.managers]


async def command(
    *words: str, env: Mapping[str, str] | None = None, engine: str = "", within: float = 600
) -> str:
    """What it printed. Raises CommandFailed."""
    given = {"PATH": search_path(), "HOME": tempfile.gettempdir(), **(env or {})}
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=ROOT,
        env={**given, **({"DOCKER_HOST": engine} if engine else {})},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(within):
            output, errors = await process.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    if process.returncode:
        said = (output + errors).decode(errors="replace")[-3000:]
        raise CommandFailed(f"{' '.join(words)} ended with {process.returncode}: {said}")
    return output.decode()


def free_port() -> int:
    """Below the kernel's range for outgoing connections: it is bound minutes later, and again."""
    while not is_free(port := random.randint(15_000, 32_000)):
        pass
    return port


@contextlib.asynccontextmanager
async def scratch() -> AsyncGenerator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
