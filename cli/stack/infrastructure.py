"""Postgres and the object store as parts of the stack."""

import os
from pathlib import Path

from cli.embedded.access import database_user
from cli.embedded.object_store import EmbeddedObjectStore, ObjectStoreConfig
from cli.embedded.ports import Ports
from cli.embedded.postgres import EmbeddedPostgres, PostgresConfig, Started
from cli.embedded.processes import ServiceProcess
from cli.embedded.secret_files import read_secret, write_secret
from cli.embedded.state import StateDirectory


class PostgresPart:
    name = "postgres"
    stop_within = 20.0

    def __init__(self, state: StateDirectory, ports: Ports, *, quick: bool) -> None:
        secrets = state.secrets
        self._port = 0
        self._url_file = state.home / "run" / "database-url"
        self._server = EmbeddedPostgres(
            PostgresConfig(
                folder=state.postgres,
                log_path=state.logs / "postgres.log",
                pid_path=state.home / "run" / "postgres.pid",
                superuser_password=secrets.password("postgres-superuser"),
                owner_password=secrets.password("postgres-owner"),
                ports=ports,
                user=database_user() if os.geteuid() == 0 else None,
                test_tuning=quick,
            )
        )

    @property
    def process(self) -> ServiceProcess:
        return self._server.process

    @property
    def url_file(self) -> Path:
        """Holds the password; 0600, as long as the stack runs."""
        return self._url_file

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def start(self) -> Started:
        started = await self._server.start()
        self._port = started.port
        url = self._server.url()
        if not self._url_file.exists() or read_secret(self._url_file) != url:
            self._url_file.unlink(missing_ok=True)
            write_secret(self._url_file, url)
        return started

    async def stop(self, *, deadline: float) -> bool:
        self._url_file.unlink(missing_ok=True)
        return await self._server.stop(deadline=deadline)


class ObjectStorePart:
    name = "object-store"
    stop_within = 10.0

    def __init__(self, state: StateDirectory, ports: Ports) -> None:
        secrets = state.secrets
        self.access_key = secrets.access_key("object-store-access")
        self.secret_key = secrets.password("object-store-secret")
        self._server = EmbeddedObjectStore(
            ObjectStoreConfig(
                folder=state.objects,
                log_path=state.logs / "object-store.log",
                pid_path=state.home / "run" / "object-store.pid",
                access_key=self.access_key,
                secret_key=self.secret_key,
                ports=ports,
            )
        )

    @property
    def process(self) -> ServiceProcess:
        return self._server.process

    @property
    def address(self) -> str:
        return self._server.endpoint

    async def start(self) -> None:
        await self._server.start()

    async def stop(self, *, deadline: float) -> bool:
        return await self._server.stop(deadline=deadline)
