"""Which revision of the schema the database has."""

import asyncpg

from control_plane.store.database import Connection
from sql.migrate import head_revision


async def revision(connection: Connection) -> str:
    """Empty where nothing was ever migrated."""
    try:
        found = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return ""
    return str(found or "")


def wanted() -> str:
    return head_revision()
