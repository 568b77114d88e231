"""Calls of the platform's tools."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Integer,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

from sql.tables.columns import (
    created,
    in_run,
    in_session,
    integer,
    metadata,
    required,
    row_id,
    words,
)

tool_calls = Table(
    "tool_calls",
    metadata,
    row_id(),
    required("project_id"),
    required("session_id"),
    required("run_id"),
    Column("tool", Text, nullable=False),
    Column("key", Text, nullable=False),
    words("words"),
    Column("attempt", Integer, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("worker_id", Uuid),
    Column("called_by", Uuid),
    Column("request_id", Uuid),
    words("answer", None),
    integer("calls", 1),
    created("said_at"),
    created(),
    in_session(),
    in_run(),
    UniqueConstraint("run_id", "tool", "key"),
    CheckConstraint(
        "tool IN ('finish_task', 'block_task', 'request_input', 'ask_user')", name="tool"
    ),
)
