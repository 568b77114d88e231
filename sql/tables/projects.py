"""Projects, who belongs to them, their keys, apps and the audit."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from sql.tables.columns import (
    created,
    flag,
    json,
    limits,
    metadata,
    row_id,
    time,
    words,
)
from sql.tables.enums import member_role

projects = Table(
    "projects",
    metadata,
    row_id(),
    Column("name", Text, nullable=False),
    json("egress"),
    created(),
    *limits(),
)

users = Table(
    "users",
    metadata,
    row_id(),
    Column("name", Text, nullable=False),
    created(),
    flag("administrator"),
    *limits(),
    Index("users_limited_idx", "id", postgresql_where=text("max_workers IS NOT NULL")),
)

default_limits = Table(
    "default_limits",
    metadata,
    Column("subject", Text, primary_key=True),
    *limits(),
    CheckConstraint("subject IN ('project', 'user')", name="subject"),
)

run_starts = Table(
    "run_starts",
    metadata,
    Column("subject_id", Uuid, primary_key=True),
    Column(
        "at",
        DateTime(timezone=True),
        primary_key=True,
        server_default=text("clock_timestamp()"),
    ),
    Column("run_id", Uuid, primary_key=True),
)

memberships = Table(
    "memberships",
    metadata,
    Column("project_id", Uuid, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("role", member_role, nullable=False),
    PrimaryKeyConstraint("project_id", "user_id"),
    Index(None, "user_id"),
)

api_keys = Table(
    "api_keys",
    metadata,
    row_id(),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", Uuid, ForeignKey("projects.id", ondelete="CASCADE")),
    Column("name", Text, nullable=False),
    Column("key_hash", Text, nullable=False, unique=True),
    Column("rate_limit", Integer),
    created(),
    time("revoked_at"),
    CheckConstraint("key_hash ~ '^[0-9a-f]{64}$'", name="key_hash"),
)

apps = Table(
    "apps",
    metadata,
    row_id(),
    Column("project_id", Uuid, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("agent", Text, nullable=False),
    json("limits"),
    json("worker_limits"),
    json("tool_policy"),
    json("egress"),
    json("container"),
    json("runtime_manifest"),
    created(),
    UniqueConstraint("project_id", "name"),
    UniqueConstraint("project_id", "id"),
    Index("apps_container_idx", "id", postgresql_where=text("container <> '{}'")),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", Uuid, nullable=False),
    Column("key", Text, nullable=False),
    Column("request_hash", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("answer", Text, nullable=False),
    created(),
    PrimaryKeyConstraint("user_id", "key"),
)

audit = Table(
    "audit",
    metadata,
    row_id(),
    Column("project_id", Uuid),
    Column("actor", Uuid),
    Column("action", Text, nullable=False),
    words("target"),
    json("detail"),
    created("at"),
    Index(None, "project_id", "id"),
    Index("audit_installation_idx", "id", postgresql_where=text("project_id IS NULL")),
)
