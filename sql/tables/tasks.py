"""Tasks and what they depend on."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from sql.tables.columns import (
    created,
    integer,
    metadata,
    row_id,
    words,
)
from sql.tables.enums import task_state

tasks = Table(
    "tasks",
    metadata,
    row_id(),
    Column("project_id", Uuid, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("title", Text, nullable=False),
    words("description"),
    Column("state", task_state, nullable=False, server_default="open"),
    integer("version", 1),
    Column("session_id", Uuid),
    words("agent", None),
    Column("app_id", Uuid),
    Column("last_run_id", Uuid),
    words("last_reason", None),
    Column("created_by", Uuid, ForeignKey("users.id", ondelete="SET NULL")),
    created(),
    created("updated_at"),
    words("summary"),
    UniqueConstraint("project_id", "id"),
    ForeignKeyConstraint(["project_id", "session_id"], ["sessions.project_id", "sessions.id"]),
    ForeignKeyConstraint(["project_id", "app_id"], ["apps.project_id", "apps.id"]),
)

task_dependencies = Table(
    "task_dependencies",
    metadata,
    Column("project_id", Uuid, nullable=False),
    Column("task_id", Uuid, nullable=False),
    Column("depends_on", Uuid, nullable=False),
    PrimaryKeyConstraint("task_id", "depends_on"),
    ForeignKeyConstraint(
        ["project_id", "task_id"], ["tasks.project_id", "tasks.id"], ondelete="CASCADE"
    ),
    ForeignKeyConstraint(
        ["project_id", "depends_on"], ["tasks.project_id", "tasks.id"], ondelete="CASCADE"
    ),
    CheckConstraint("task_id <> depends_on", name="itself"),
    Index(None, "depends_on"),
)
