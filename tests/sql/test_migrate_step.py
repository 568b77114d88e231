"""`python -m control_plane.migrate` as the first step of a deployment: it waits, makes, refuses."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import sql.migrate
from cli.embedded.ports import LOOPBACK, Ports
from tests.fixtures.bad_store import bad_store
from tests.fixtures.object_store import StoreServer, embedded_object_store

DEADLINE = 120.0
HEAD = sql.migrate.head_revision()


@asynccontextmanager
async def migrating(**settings: str) -> AsyncGenerator[Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "control_plane.migrate",
        env={
            "PYTHONPATH": os.pathsep.join(sys.path),
            **{f"BERTH_{name.upper()}": value for name, value in settings.items()},
        },
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ended(**settings: str) -> tuple[int | None, str]:
    async with migrating(**settings) as process:
        out, err = await asyncio.wait_for(process.communicate(), DEADLINE)
    return process.returncode, (out + err).decode().strip()


def store_settings(store: StoreServer, **changes: str) -> dict[str, str]:
    values = {
        "url": store.endpoint,
        "bucket": store.bucket,
        "access_key": store.access_key,
        "secret_key": store.secret_key,
    }
    return {f"object_store_{name}": value for name, value in (values | changes).items()}


async def test_bucket__is_made_and_the_store_checked(
    empty_database_url: str, object_store_server: StoreServer
) -> None:
    store = store_settings(object_store_server, bucket="made-by-the-migration")
    for _ in range(2):
        assert await ended(database_url=empty_database_url, **store) == (0, HEAD)


async def test_store_that_starts__is_waited_for(empty_database_url: str, tmp_path: Path) -> None:
    port = Ports(tmp_path / "ports.json").pick("object_store")
    server = embedded_object_store(tmp_path)
    access, secret = (tmp_path / "secrets" / name for name in ("access", "secret"))
    settings = {
        "database_url": empty_database_url,
        "object_store_url": f"http://{LOOPBACK}:{port}",
        "object_store_bucket": "berth",
        "object_store_access_key_file": str(access),
        "object_store_secret_key_file": str(secret),
    }
    async with migrating(**settings) as process:
        assert process.stderr is not None
        told = await asyncio.wait_for(process.stderr.readline(), DEADLINE)
        assert told.startswith(b"waiting: object_store: start it")
        await server.start()
        try:
            out, _ = await asyncio.wait_for(process.communicate(), DEADLINE)
        finally:
            await server.stop()
    assert (process.returncode, out.decode().strip()) == (0, HEAD)


async def test_database_that_stays_away__is_given_up() -> None:
    away = "postgresql://berth@127.0.0.1:1/berth"
    code, told = await ended(database_url=away, migrate_wait_seconds="5")
    assert code == 1
    assert told.startswith("waiting: database: start Postgres")
    assert told.splitlines()[-1].startswith("database: start Postgres")
    assert "Traceback" not in told


async def test_wrong_password__is_not_waited_for(empty_database_url: str) -> None:
    head, _, tail = empty_database_url.partition("@")
    wrong = f"{head.rpartition(':')[0]}:wrong@{tail}"
    code, told = await ended(database_url=wrong)
    assert code == 1
    assert told.startswith("database: correct BERTH_DATABASE_URL")


async def test_unfit_store__is_refused(empty_database_url: str) -> None:
    async with bad_store() as url:
        settings = {"url": url, "bucket": "b", "access_key": "a", "secret_key": "s"}
        store = {f"object_store_{name}": value for name, value in settings.items()}
        code, told = await ended(database_url=empty_database_url, **store)
    assert code == 1
    assert "wrong_md5: it accepts" in told
    assert "Traceback" not in told


async def test_store_settings__are_all_needed(empty_database_url: str) -> None:
    code, told = await ended(database_url=empty_database_url, object_store_url="http://s3:9000")
    assert code == 1
    assert "BERTH_OBJECT_STORE_BUCKET is not set" in told
