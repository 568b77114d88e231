"""`sql/schema.sql` is what is read, migrations what runs, `sql/tables/` what Python knows."""

import enum
import re

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine

import sql.migrate
from contracts.human_loop import RequestState
from contracts.jobs import JobKind
from contracts.runs import RunState
from contracts.sessions import SessionState
from contracts.snapshots import SnapshotKind
from contracts.tasks import TaskState
from contracts.workers import WorkerState
from control_plane.domain.access import Role
from deploy.dump_schema import SCHEMA, dump
from sql.tables import metadata
from tests.architecture import sources

ENUMS: dict[str, type[enum.Enum]] = {
    "job_kind": JobKind,
    "member_role": Role,
    "request_state": RequestState,
    "run_state": RunState,
    "session_state": SessionState,
    "snapshot_kind": SnapshotKind,
    "task_state": TaskState,
    "worker_state": WorkerState,
}
KINDS_ONLY = {"stream_kind"}
"""No Python type: the two words stand in statements."""


@pytest.fixture
async def migrated(empty_database_url: str) -> str:
    await sql.migrate.upgrade(empty_database_url)
    return empty_database_url


async def test_schema_sql__equals_the_migrations(migrated: str) -> None:
    assert dump(migrated) == SCHEMA.read_text(encoding="utf-8")


async def test_tables__equal_the_migrations(migrated: str) -> None:
    url = migrated.replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(url)
    async with engine.connect() as connection:
        differences = await connection.run_sync(_differences)
    await engine.dispose()
    assert differences == []


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_server_default": False})
    return list(compare_metadata(context, metadata))


async def test_enums__equal_python(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch(
        """SELECT t.typname AS name, array_agg(e.enumlabel::text ORDER BY e.enumsortorder) AS labels
           FROM pg_type t JOIN pg_enum e ON e.enumtypid = t.oid GROUP BY t.typname"""
    )
    await connection.close()
    found = {row["name"]: row["labels"] for row in rows if row["name"] not in KINDS_ONLY}
    assert found == {name: [m.value for m in kind] for name, kind in ENUMS.items()}


def test_migrations__have_no_way_back() -> None:
    """Expand, deploy, contract: a downgrade that loses rows is not offered."""
    versions = sources.python("sql/migrations/versions")
    offered = [
        sources.name(path)
        for path in versions
        if re.search(r"^def downgrade", sources.text(path), re.MULTILINE)
    ]
    assert versions
    assert offered == []
