"""Migrations of real instances: together, killed half-way, waiting no longer than they may."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import asyncpg
import pytest
from sqlalchemy.exc import DBAPIError

import sql.migrate
from deploy.dump_schema import SCHEMA, dump

TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
VERSIONS = "SELECT version_num FROM alembic_version"
WAITING = (
    "SELECT l.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    " WHERE NOT l.granted AND l.locktype = $1 AND a.datname = current_database()"
)
"""In this database: beside it other tests have theirs on the same server."""
DEADLINE = 60.0
NOBODY = frozenset[int]()


@asynccontextmanager
async def migrating(url: str) -> AsyncGenerator[Process]:
    """An instance, as an operator starts it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "control_plane.migrate",
        env={"BERTH_DATABASE_URL": url, "PYTHONPATH": os.pathsep.join(sys.path)},
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


async def ended(process: Process) -> tuple[int | None, str]:
    out, err = await asyncio.wait_for(process.communicate(), DEADLINE)
    return process.returncode, (out + err).decode().strip()


async def until_waiting(
    connection: asyncpg.Connection, kind: str, count: int = 1, *, besides: frozenset[int] = NOBODY
) -> frozenset[int]:
    """Instances that wait for a lock of this kind are where the test wants them. Who they are."""

    async def waiting() -> frozenset[int]:
        return frozenset(row["pid"] for row in await connection.fetch(WAITING, kind)) - besides

    async with asyncio.timeout(DEADLINE):
        while len(pids := await waiting()) < count:  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0.02)
    return pids


@pytest.fixture
async def watcher(empty_database_url: str) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def blocker(empty_database_url: str) -> AsyncGenerator[asyncpg.Connection]:
    connection = await asyncpg.connect(empty_database_url)
    yield connection
    await connection.close()


async def test_two_instances__together(
    empty_database_url: str, watcher: asyncpg.Connection, blocker: asyncpg.Connection
) -> None:
    await blocker.execute("SELECT pg_advisory_lock($1)", sql.migrate.LOCK_KEY)
    async with migrating(empty_database_url) as one, migrating(empty_database_url) as other:
        await until_waiting(watcher, "advisory", 2)
        await blocker.execute("SELECT pg_advisory_unlock($1)", sql.migrate.LOCK_KEY)
        outcomes = await asyncio.gather(ended(one), ended(other))
    head = sql.migrate.head_revision()
    assert outcomes == [(0, head), (0, head)]
    assert [row[0] for row in await watcher.fetch(VERSIONS)] == [head]
    assert await asyncio.to_thread(dump, empty_database_url) == SCHEMA.read_text(encoding="utf-8")


async def test_killed_half_way__nothing_stays_and_the_next_one_succeeds(
    empty_database_url: str, watcher: asyncpg.Connection, blocker: asyncpg.Connection
) -> None:
    """It is surely in the middle: somebody else is making one of its last tables."""
    somebodys = blocker.transaction()
    await somebodys.start()
    await blocker.execute("CREATE TABLE outbox ()")
    async with migrating(empty_database_url) as killed:
        its_own = await until_waiting(watcher, "transactionid")
        killed.send_signal(signal.SIGKILL)
        assert (await ended(killed))[0] == -signal.SIGKILL
    assert {row[0] for row in await watcher.fetch(TABLES)} <= {"alembic_version"}
    async with migrating(empty_database_url) as next_one:
        # what the killed one left may wait still, or have given up
        await until_waiting(watcher, "transactionid", besides=its_own)
        await somebodys.rollback()
        assert await ended(next_one) == (0, sql.migrate.head_revision())
    assert await asyncio.to_thread(dump, empty_database_url) == SCHEMA.read_text(encoding="utf-8")


async def test_another_instance_that_never_ends__is_waited_for_so_long(
    empty_database_url: str, blocker: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql.migrate, "LOCK_WAIT_MS", 200)
    await blocker.execute("SELECT pg_advisory_lock($1)", sql.migrate.LOCK_KEY)
    with pytest.raises(asyncpg.QueryCanceledError):
        await asyncio.wait_for(sql.migrate.upgrade(empty_database_url), DEADLINE)


async def test_a_table_that_stays_locked__ends_the_migration_unchanged(
    empty_database_url: str,
    watcher: asyncpg.Connection,
    blocker: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sql.migrate, "TABLE_LOCK_MS", 200)
    async with blocker.transaction():
        await blocker.execute("CREATE TABLE outbox ()")
        with pytest.raises(DBAPIError, match="lock timeout"):
            await asyncio.wait_for(sql.migrate.upgrade(empty_database_url), DEADLINE)
    assert not {row[0] for row in await watcher.fetch(TABLES)} - {"alembic_version", "outbox"}


async def test_upgrade__again_changes_nothing(empty_database_url: str) -> None:
    await sql.migrate.upgrade(empty_database_url)
    await sql.migrate.upgrade(empty_database_url)
    assert await asyncio.to_thread(dump, empty_database_url) == SCHEMA.read_text(encoding="utf-8")
