"""The database fixtures themselves: what every other test stands on."""

import asyncpg
import pytest

from tests.fixtures.postgres import PostgresServer

INSERT = "INSERT INTO users (id, name) VALUES (gen_random_uuid(), 'somebody')"


async def test_database__is_migrated_and_not_a_superusers(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
        assert not await connection.fetchval("SELECT rolsuper FROM pg_roles WHERE rolname = user")
    finally:
        await connection.close()


@pytest.mark.parametrize("turn", [1, 2])
async def test_clean_database__every_test_begins_with_empty_tables(
    clean_database: str, turn: int
) -> None:
    connection = await asyncpg.connect(clean_database)
    try:
        assert await connection.fetchval("SELECT count(*) FROM users") == 0
        await connection.execute(INSERT)
    finally:
        await connection.close()


async def test_empty_database__has_no_table(
    empty_database_url: str, postgres_server: PostgresServer
) -> None:
    connection = await asyncpg.connect(empty_database_url)
    try:
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert await connection.fetchval(tables) == 0
    finally:
        await connection.close()
