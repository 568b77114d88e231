"""Writes `sql/schema.sql`: what the migrations make of an empty database, as `pg_dump -s` tells it.

`make schema` runs it, on an embedded Postgres of its own that is gone afterwards.
"""

import asyncio
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from cli.embedded.access import database_user
from cli.embedded.ports import Ports
from cli.embedded.postgres import EmbeddedPostgres, PostgresConfig
from cli.embedded.postgres_binaries import locate
from cli.embedded.secret_files import SecretFiles
from sql.migrate import upgrade

SCHEMA = Path(__file__).parent.parent / "sql" / "schema.sql"

VARYING = ("--", "SET ", "SELECT pg_catalog", "\\restrict", "\\unrestrict")
"""Lines that differ from run to run or from version to version."""


def dump(database_url: str) -> str:
    """`database_url` is a server's of the embedded version."""
    program = locate(user=None, copies=Path()).program("pg_dump")
    argv = [program, "-s", "--no-owner", "--no-privileges", "--no-comments", database_url]
    text = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    lines = [line for line in text.splitlines() if line and not line.startswith(VARYING)]
    return "\n".join(lines) + "\n"


async def write(folder: Path) -> None:
    server = _server(folder)
    await server.start()
    try:
        url = server.url("berth")
        await upgrade(url)
        text = await asyncio.to_thread(dump, url)
    finally:
        await server.stop()
    await asyncio.to_thread(SCHEMA.write_text, text, encoding="utf-8")


def _server(folder: Path) -> EmbeddedPostgres:
    secrets = SecretFiles(folder / "secrets")
    return EmbeddedPostgres(
        PostgresConfig(
            folder=folder / "postgres",
            log_path=folder / "postgres.log",
            pid_path=folder / "postgres.pid",
            superuser_password=secrets.password("superuser"),
            owner_password=secrets.password("owner"),
            ports=Ports(folder / "ports.json"),
            user=database_user() if os.geteuid() == 0 else None,
        )
    )


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="berth-schema-"))
    folder.chmod(0o711)
    try:
        asyncio.run(write(folder))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
