import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import asyncpg
import pytest

from cli.embedded.errors import DiskFull, OtherVersion, PortTaken, WrongPassword
from cli.embedded.identity import ProcessIdentity
from cli.embedded.postgres import IMMEDIATE, EmbeddedPostgres
from cli.embedded.postgres_cluster import explain
from tests.fixtures.postgres import embedded_postgres


@pytest.fixture
async def postgres(open_home: Path) -> AsyncGenerator[EmbeddedPostgres]:
    server = embedded_postgres(open_home)
    yield server
    await server.stop(IMMEDIATE)


def status(path: Path) -> os.stat_result:
    return path.stat()


def command_line(identity: ProcessIdentity) -> str:
    return Path(f"/proc/{identity.pid}/cmdline").read_text()


def secrets_of(home: Path) -> list[str]:
    return [path.read_text() for path in (home / "secrets").iterdir()]


async def run(server: EmbeddedPostgres, statement: str) -> object:
    connection = await asyncpg.connect(server.url())
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_start__as_another_user_with_passwords_only(
    postgres: EmbeddedPostgres, open_home: Path
) -> None:
    started = await postgres.start()
    assert (started.created, started.recovered) == (True, False)
    identity = postgres.process.identity
    assert identity is not None
    assert status(Path(f"/proc/{identity.pid}")).st_uid != 0
    argv = command_line(identity)
    assert "postgres" in argv
    assert not any(secret in argv for secret in secrets_of(open_home))
    assert status(open_home / "postgres/data").st_mode & 0o777 == 0o700
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(postgres.url(), password="wrong")
    assert await run(postgres, "SELECT rolsuper FROM pg_roles WHERE rolname = user") is False
    assert await run(postgres, "SELECT current_setting('listen_addresses')") == "127.0.0.1"
    assert await run(postgres, "SELECT current_setting('synchronous_commit')") == "on"


async def test_start__again_after_a_stop_keeps_data_and_port(postgres: EmbeddedPostgres) -> None:
    first = await postgres.start()
    await run(postgres, "CREATE TABLE kept AS SELECT 1 AS n")
    assert await postgres.stop()
    again = await postgres.start()
    assert (again.created, again.recovered, again.port) == (False, False, first.port)
    assert await run(postgres, "SELECT n FROM kept") == 1


async def test_start__recovers_after_kill_9(postgres: EmbeddedPostgres) -> None:
    first = await postgres.start()
    connection = await asyncpg.connect(postgres.url())
    await connection.execute("CREATE TABLE kept AS SELECT 1 AS n")
    identity = postgres.process.identity
    assert identity is not None
    identity.send(signal.SIGKILL)
    assert await postgres.process.wait() == -signal.SIGKILL
    assert not postgres.process.running()

    again = await postgres.start()

    assert (again.recovered, again.port) == (True, first.port)
    assert await run(postgres, "SELECT n FROM kept") == 1
    await connection.close(timeout=1)


async def test_start__ends_the_postmaster_of_a_killed_run(
    postgres: EmbeddedPostgres, open_home: Path
) -> None:
    """Also when our own pid file was lost: postmaster.pid names it."""
    await postgres.start()
    former = postgres.process.identity
    assert former is not None
    (open_home / "postgres.pid").unlink()

    next_run = embedded_postgres(open_home)
    try:
        started = await next_run.start()
        assert not former.alive()
        assert not started.recovered
    finally:
        await next_run.stop()


async def test_start__a_stale_pid_file_names_somebody_else(
    postgres: EmbeddedPostgres, open_home: Path
) -> None:
    await postgres.start()
    await postgres.stop(IMMEDIATE)
    bystander = subprocess.Popen(["sleep", "60"])  # noqa: ASYNC220 - starts at once
    try:
        path = open_home / "postgres/data/postmaster.pid"
        path.write_text(f"{bystander.pid}\n{open_home}/postgres/data\n1\n1\n\n127.0.0.1\n")
        assert (await postgres.start()).recovered
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


async def test_start__half_of_an_initdb_is_thrown_away(
    postgres: EmbeddedPostgres, open_home: Path
) -> None:
    half = open_home / "postgres/data.new/base"
    half.mkdir(parents=True)
    (open_home / "postgres/.password").write_text("left over")
    assert (await postgres.start()).created
    assert not half.parent.exists()
    assert not (open_home / "postgres/.password").exists()


async def test_start__data_of_another_version(postgres: EmbeddedPostgres, open_home: Path) -> None:
    await postgres.start()
    await postgres.stop()
    (open_home / "postgres/data/PG_VERSION").write_text("15\n")
    with pytest.raises(OtherVersion, match=r"written by Postgres 15.*pg_dump"):
        await postgres.start()


async def test_start__port_taken(postgres: EmbeddedPostgres) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        pinned = EmbeddedPostgres(replace(postgres._config, port=port))
        with pytest.raises(PortTaken, match=f"Port {port} .*choose another"):
            await pinned.start()


async def test_start__port_taken_between_choice_and_bind(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = postgres._config.ports
        monkeypatch.setattr(ports, "pick", lambda *_, **__: port)
        monkeypatch.setattr(ports, "pick_again", lambda _: ports._fresh())
        started = await postgres.start()
    assert started.port != port


async def test_start__other_secrets(postgres: EmbeddedPostgres, open_home: Path) -> None:
    await postgres.start()
    await postgres.stop()
    shutil.rmtree(open_home / "secrets")
    with pytest.raises(WrongPassword, match="Put the former secrets back"):
        await embedded_postgres(open_home).start()


async def test_start__the_owners_password_follows_its_file(
    postgres: EmbeddedPostgres, open_home: Path
) -> None:
    await postgres.start()
    await postgres.stop()
    (open_home / "secrets/owner").unlink()
    next_run = embedded_postgres(open_home)
    try:
        await next_run.start()
        assert await run(next_run, "SELECT 1") == 1
    finally:
        await next_run.stop()


def test_explain__full_disk() -> None:
    error = explain("initdb failed", 'could not write to file "x": No space left on device')
    assert isinstance(error, DiskFull)
    assert "Free some space" in str(error)


async def test_start__no_room_for_our_own_files(
    postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(postgres._config.ports, "pick", Mock(side_effect=full))
    with pytest.raises(DiskFull, match="set BERTH_HOME to a directory on another disk"):
        await postgres.start()


async def test_stop__from_another_process(postgres: EmbeddedPostgres, open_home: Path) -> None:
    await postgres.start()
    server = postgres.process.identity
    code = (
        "import asyncio,sys,pathlib\nfrom tests.fixtures.postgres import embedded_postgres\n"
        "asyncio.run(embedded_postgres(pathlib.Path(sys.argv[1])).stop())"
    )
    root = str(Path(__file__).parents[3])
    subprocess.run(  # noqa: ASYNC221 - the test waits for it
        [sys.executable, "-c", code, str(open_home)],
        env={"PATH": os.defpath, "PYTHONPATH": root},
        check=True,
    )
    assert server is not None
    assert ProcessIdentity.of(server.pid) is None
