"""Sessions, the streams that are their log, and their snapshots."""

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from sql.tables.columns import (
    big,
    created,
    flag,
    in_session,
    json,
    metadata,
    required,
    row_id,
    words,
)
from sql.tables.enums import session_state, snapshot_kind, stream_kind

streams = Table(
    "streams",
    metadata,
    row_id(),
    Column("kind", stream_kind, nullable=False),
    Column("project_id", Uuid, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    big("last_seq"),
    big("first_seq", 1),
)

events = Table(
    "events",
    metadata,
    Column("stream_id", Uuid, ForeignKey("streams.id", ondelete="CASCADE"), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("project_id", Uuid, nullable=False),
    Column("session_id", Uuid),
    Column("run_id", Uuid),
    Column("attempt", Integer),
    Column("epoch", BigInteger),
    Column("kind", Text, nullable=False),
    Column("payload", Text, nullable=False),
    words("trace_id"),
    created("at"),
    PrimaryKeyConstraint("stream_id", "seq"),
    Index("events_run_idx", "stream_id", "run_id", "seq"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Uuid, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    words("title"),
    Column("agent", Text, nullable=False),
    Column("app_id", Uuid),
    words("model", None),
    words("mode", None),
    json("provider_options"),
    Column("state", session_state, nullable=False, server_default="active"),
    big("epoch"),
    Column("head_snapshot_id", Uuid),
    json("worker_limits"),
    flag("keep_warm"),
    Column("created_by", Uuid, ForeignKey("users.id", ondelete="SET NULL")),
    created(),
    created("updated_at"),
    UniqueConstraint("project_id", "id"),
    ForeignKeyConstraint(["project_id", "app_id"], ["apps.project_id", "apps.id"]),
)

snapshots = Table(
    "snapshots",
    metadata,
    row_id(),
    required("project_id"),
    required("session_id"),
    Column("run_id", Uuid),
    Column("attempt", Integer),
    Column("epoch", BigInteger, nullable=False),
    Column("source_seq", BigInteger, nullable=False),
    Column("type", snapshot_kind, nullable=False),
    Column("parent", Uuid),
    Column("manifest_key", Text, nullable=False),
    Column("manifest_sha256", Text, nullable=False),
    big("files"),
    big("bytes"),
    big("new_bytes"),
    words("spool_key", None),
    created(),
    in_session(),
    Index("snapshots_session_idx", "session_id", "id"),
    Index("snapshots_run_idx", "run_id", "epoch", "attempt", "source_seq"),
)
