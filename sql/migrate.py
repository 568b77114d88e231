"""Brings a database to the newest schema: under an advisory lock, each migration one transaction.

Two instances that start together take turns; one that is killed half-way leaves nothing.
"""

from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

LOCK_KEY = 0x6265727468
"""`pg_advisory_lock` key: the ASCII of "berth"."""

LOCK_WAIT_MS = 120_000
"""For another instance that migrates."""

TABLE_LOCK_MS = 10_000
"""For a table that somebody uses: a migration that waits in front of it stops everybody behind."""

STATEMENT_MS = 120_000


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _sqlalchemy_url(database_url: str) -> str:
    _, _, rest = database_url.partition("://")
    return f"postgresql+asyncpg://{rest}"


async def upgrade(database_url: str, *, revision: str = "head") -> None:
    """Raises asyncpg.QueryCanceledError when another instance holds the lock for two minutes.

    Raises sqlalchemy.exc.DBAPIError when a table stays locked; nothing is changed then.
    """
    guard = await asyncpg.connect(database_url)
    try:
        await guard.execute(f"SET statement_timeout = {LOCK_WAIT_MS}")
        await guard.execute("SELECT pg_advisory_lock($1)", LOCK_KEY)
        engine = create_async_engine(_sqlalchemy_url(database_url), poolclass=NullPool)
        try:
            async with engine.connect() as connection:
                await connection.run_sync(_run, revision)
        finally:
            await engine.dispose()
    finally:
        await guard.close()


def _run(connection: Connection, revision: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    config.attributes["timeouts"] = {
        "lock_timeout": TABLE_LOCK_MS,
        "statement_timeout": STATEMENT_MS,
    }
    command.upgrade(config, revision)


def head_revision() -> str:
    return ScriptDirectory.from_config(_config()).get_current_head() or ""
