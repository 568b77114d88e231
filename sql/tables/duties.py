"""What background duties work on."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)

from sql.tables.columns import (
    created,
    in_session,
    json,
    metadata,
    required,
    row_id,
    time,
    words,
)
from sql.tables.enums import job_kind

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    required("project_id"),
    Column("session_id", Uuid),
    Column("run_id", Uuid),
    Column("attempt", Integer),
    Column("type", Text, nullable=False),
    Column("payload", Text, nullable=False),
    words("trace_id"),
    created("at"),
    Index(None, "project_id", "id"),
    CheckConstraint("type IN ('event', 'task')", name="type"),
)

jobs = Table(
    "jobs",
    metadata,
    row_id(),
    Column("project_id", Uuid, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("kind", job_kind, nullable=False),
    json("counts"),
    Column("created_by", Uuid, ForeignKey("users.id", ondelete="SET NULL")),
    created(),
    Column("deadline", DateTime(timezone=True), nullable=False),
    time("finished_at"),
    UniqueConstraint("project_id", "id"),
    Index("jobs_open_idx", "id", postgresql_where=text("finished_at IS NULL")),
    Index("jobs_finished_idx", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
)

job_members = Table(
    "job_members",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    required("project_id"),
    required("job_id"),
    required("session_id"),
    Column("worker_id", Uuid),
    words("outcome", "pending"),
    words("detail"),
    time("acted_at"),
    time("ended_at"),
    ForeignKeyConstraint(
        ["project_id", "job_id"], ["jobs.project_id", "jobs.id"], ondelete="CASCADE"
    ),
    in_session(),
    Index("job_members_open_idx", "job_id", "id", postgresql_where=text("ended_at IS NULL")),
    Index("job_members_job_idx", "job_id", "outcome"),
)

loop_ticks = Table(
    "loop_ticks",
    metadata,
    Column("name", Text, primary_key=True),
    created("ticked_at"),
    created("resume_at"),
)
