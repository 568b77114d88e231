"""The tables as SQLAlchemy Core metadata: for migrations, and for lists with many filters.

Every row that a person can see carries `project_id`, and every foreign key between such rows
includes it. Time is `now()`. Hot rows are narrow: a run's prompt and output stand elsewhere.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from contracts.human_loop import RequestState
from contracts.runs import RunState
from contracts.sessions import SessionState
from contracts.snapshots import SnapshotKind
from contracts.tasks import TaskState
from contracts.workers import WorkerState

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def _values(members: type) -> list[str]:
    return [member.value for member in members]  # type: ignore[attr-defined] # an enum's class is iterable


run_state = Enum(RunState, name="run_state", values_callable=_values, metadata=metadata)
worker_state = Enum(WorkerState, name="worker_state", values_callable=_values, metadata=metadata)
session_state = Enum(SessionState, name="session_state", values_callable=_values, metadata=metadata)
task_state = Enum(TaskState, name="task_state", values_callable=_values, metadata=metadata)
request_state = Enum(RequestState, name="request_state", values_callable=_values, metadata=metadata)
snapshot_kind = Enum(SnapshotKind, name="snapshot_kind", values_callable=_values, metadata=metadata)
member_role = Enum("owner", "member", "viewer", name="member_role", metadata=metadata)
stream_kind = Enum("session", "project", name="stream_kind", metadata=metadata)


def _id() -> Column[object]:
    return Column("id", Uuid, primary_key=True)


def _time(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def _created(name: str = "created_at") -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


def _text(name: str, default: str | None = "") -> Column[object]:
    if default is None:
        return Column(name, Text)
    return Column(name, Text, nullable=False, server_default=text(f"'{default}'"))


def _integer(name: str, default: int = 0) -> Column[object]:
    return Column(name, Integer, nullable=False, server_default=text(str(default)))


def _big(name: str, default: int = 0) -> Column[object]:
    return Column(name, BigInteger, nullable=False, server_default=text(str(default)))


def _flag(name: str) -> Column[object]:
    return Column(name, Boolean, nullable=False, server_default=text("false"))


def _required(name: str) -> Column[object]:
    return Column(name, Uuid, nullable=False)


def _in_session(*, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["project_id", "session_id"], ["sessions.project_id", "sessions.id"], ondelete=ondelete
    )


def _in_run(*, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["project_id", "run_id"], ["runs.project_id", "runs.id"], ondelete=ondelete
    )


projects = Table("projects", metadata, _id(), Column("name", Text, nullable=False), _created())

users = Table("users", metadata, _id(), Column("name", Text, nullable=False), _created())

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
    _id(),
    Column("user_id", Uuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False),
    Column("project_id", Uuid, ForeignKey("projects.id", ondelete="CASCADE")),
    Column("name", Text, nullable=False),
    Column("key_hash", Text, nullable=False, unique=True),
    Column("rate_limit", Integer),
    _created(),
    _time("revoked_at"),
    CheckConstraint("key_hash ~ '^[0-9a-f]{64}$'", name="key_hash"),
)

apps = Table(
    "apps",
    metadata,
    _id(),
    Column("project_id", Uuid, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("name", Text, nullable=False),
    Column("agent", Text, nullable=False),
    Column("limits", JSONB, nullable=False, server_default=text("'{}'")),
    Column("tool_policy", JSONB, nullable=False, server_default=text("'{}'")),
    _created(),
    UniqueConstraint("project_id", "name"),
    UniqueConstraint("project_id", "id"),
)

streams = Table(
    "streams",
    metadata,
    _id(),
    Column("kind", stream_kind, nullable=False),
    Column("project_id", Uuid, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    _big("last_seq"),
    _big("first_seq", 1),
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
    _text("trace_id"),
    _created("at"),
    PrimaryKeyConstraint("stream_id", "seq"),
    Index("events_run_idx", "stream_id", "run_id", "seq"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Uuid, ForeignKey("streams.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Uuid, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    _text("title"),
    Column("agent", Text, nullable=False),
    Column("app_id", Uuid),
    _text("model", None),
    _text("mode", None),
    Column("provider_options", JSONB, nullable=False, server_default=text("'{}'")),
    Column("state", session_state, nullable=False, server_default="active"),
    _big("epoch"),
    Column("head_snapshot_id", Uuid),
    Column("created_by", Uuid, ForeignKey("users.id", ondelete="SET NULL")),
    _created(),
    _created("updated_at"),
    UniqueConstraint("project_id", "id"),
    ForeignKeyConstraint(["project_id", "app_id"], ["apps.project_id", "apps.id"]),
)

tasks = Table(
    "tasks",
    metadata,
    _id(),
    Column("project_id", Uuid, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("title", Text, nullable=False),
    _text("description"),
    Column("state", task_state, nullable=False, server_default="open"),
    _integer("version", 1),
    Column("session_id", Uuid),
    _text("agent", None),
    Column("app_id", Uuid),
    Column("last_run_id", Uuid),
    _text("last_reason", None),
    Column("created_by", Uuid, ForeignKey("users.id", ondelete="SET NULL")),
    _created(),
    _created("updated_at"),
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

runs = Table(
    "runs",
    metadata,
    _id(),
    _required("project_id"),
    _required("session_id"),
    Column("task_id", Uuid),
    Column("agent", Text, nullable=False),
    Column("state", run_state, nullable=False),
    _big("line_no"),
    Column("priority", SmallInteger, nullable=False, server_default=text("5")),
    _integer("attempt", 1),
    _integer("failures"),
    _integer("losses"),
    _integer("max_failures", 3),
    _created("available_at"),
    Column("claim_id", Uuid),
    Column("worker_id", Uuid),
    _time("cancel_requested_at"),
    _time("cancel_deadline"),
    _time("started_at"),
    _time("waiting_since"),
    _time("finished_at"),
    _created(),
    UniqueConstraint("project_id", "id"),
    _in_session(),
    ForeignKeyConstraint(["project_id", "task_id"], ["tasks.project_id", "tasks.id"]),
    Index(
        "runs_one_head",
        "session_id",
        unique=True,
        postgresql_where=text("state IN ('queued', 'claimed', 'running', 'waiting')"),
    ),
    Index(
        "runs_live_idx",
        "project_id",
        postgresql_where=text("state IN ('claimed', 'running', 'waiting')"),
    ),
    Index(
        "runs_queued_idx",
        "project_id",
        "priority",
        "available_at",
        "id",
        postgresql_where=text("state = 'queued'"),
    ),
    Index("runs_pending_idx", "session_id", "line_no", postgresql_where=text("state = 'pending'")),
    Index(
        "runs_cancel_deadline_idx",
        "cancel_deadline",
        postgresql_where=text("cancel_deadline IS NOT NULL AND finished_at IS NULL"),
    ),
    Index("runs_waiting_idx", "waiting_since", postgresql_where=text("state = 'waiting'")),
    Index("runs_claim_id_idx", "claim_id", postgresql_where=text("claim_id IS NOT NULL")),
    Index("runs_session_idx", "session_id", "id"),
    Index("runs_project_idx", "project_id", "id"),
    Index("runs_task_idx", "task_id", postgresql_where=text("task_id IS NOT NULL")),
)

run_payloads = Table(
    "run_payloads",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    _required("project_id"),
    Column("prompt", Text, nullable=False),
    Column("options", Text, nullable=False),
    _text("output"),
    _text("reason", None),
    _text("detail"),
    Column("snapshot_id", Uuid),
    _flag("unsaved"),
    _text("resume", None),
    Column("retry_of", Uuid),
    _text("traceparent"),
    Column("created_by", Uuid),
    _in_run(),
)

managers = Table(
    "managers",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("backend", Text, nullable=False),
    _big("incarnation", 1),
    _integer("max_workers"),
    Column("agents", JSONB, nullable=False, server_default=text("'{}'")),
    _flag("draining"),
    _created("last_seen_at"),
    _created(),
)

session_workers = Table(
    "session_workers",
    metadata,
    _id(),
    _required("project_id"),
    _required("session_id"),
    Column("epoch", BigInteger, nullable=False),
    Column("manager_id", Uuid, ForeignKey("managers.id"), nullable=False),
    Column("state", worker_state, nullable=False, server_default="creating"),
    Column("token_hash", Text, nullable=False),
    Column("former_token_hash", Text),
    Column("lease_until", DateTime(timezone=True), nullable=False),
    _big("last_source_seq"),
    _flag("pinned"),
    _time("stop_requested_at"),
    _time("released_at"),
    _time("superseded_at"),
    _time("remove_requested_at"),
    _time("removed_at"),
    _text("reason"),
    _created(),
    UniqueConstraint("session_id", "epoch"),
    UniqueConstraint("project_id", "id"),
    _in_session(),
    Index(
        "session_workers_one_current",
        "session_id",
        unique=True,
        postgresql_where=text("released_at IS NULL AND superseded_at IS NULL"),
    ),
    Index(
        "session_workers_lease_idx",
        "lease_until",
        postgresql_where=text("released_at IS NULL AND superseded_at IS NULL"),
    ),
    Index("session_workers_manager_idx", "manager_id", postgresql_where=text("removed_at IS NULL")),
    Index("session_workers_token_idx", "token_hash", unique=True),
    Index(
        "session_workers_former_token_idx",
        "former_token_hash",
        postgresql_where=text("former_token_hash IS NOT NULL"),
    ),
)

commands = Table(
    "commands",
    metadata,
    _id(),
    Column("position", BigInteger, Identity(always=True), nullable=False),
    _required("project_id"),
    _required("session_id"),
    _required("worker_id"),
    Column("type", Text, nullable=False),
    Column("payload", Text, nullable=False),
    _created(),
    _time("done_at"),
    ForeignKeyConstraint(
        ["project_id", "worker_id"],
        ["session_workers.project_id", "session_workers.id"],
        ondelete="CASCADE",
    ),
    Index("commands_open_idx", "worker_id", "position", postgresql_where=text("done_at IS NULL")),
    Index("commands_start_idx", "worker_id", "done_at", postgresql_where=text("type = 'start'")),
)

human_loop_requests = Table(
    "human_loop_requests",
    metadata,
    _id(),
    _required("project_id"),
    _required("session_id"),
    _required("run_id"),
    Column("attempt", Integer, nullable=False),
    Column("ask_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("state", request_state, nullable=False, server_default="pending"),
    _text("title"),
    _text("tool"),
    _text("input", "null"),
    Column("input_hash", Text, nullable=False),
    _text("options", "[]"),
    _text("form", "null"),
    _time("deadline"),
    _time("overdue_at"),
    _text("option_id", None),
    _text("option_kind", None),
    _text("text", None),
    _text("content", None),
    Column("decided_by", Uuid),
    _time("decided_at"),
    Column("delivered_epoch", BigInteger),
    Column("delivered_attempt", Integer),
    _time("delivered_at"),
    _created(),
    _in_session(),
    _in_run(),
    CheckConstraint("type IN ('permission', 'question')", name="type"),
    Index("human_loop_requests_run_idx", "run_id", "state"),
    Index("human_loop_requests_project_idx", "project_id", "state", "id"),
    Index(
        "human_loop_requests_deadline_idx",
        "deadline",
        postgresql_where=text("state = 'pending' AND overdue_at IS NULL"),
    ),
)

todos = Table(
    "todos",
    metadata,
    Column("run_id", Uuid, primary_key=True),
    _required("project_id"),
    _required("session_id"),
    Column("seq", BigInteger, nullable=False),
    Column("entries", Text, nullable=False),
    _in_run(),
)

usage = Table(
    "usage",
    metadata,
    _id(),
    _required("project_id"),
    _required("session_id"),
    _required("run_id"),
    Column("attempt", Integer, nullable=False),
    Column("source", Text, nullable=False),
    _text("model"),
    _big("input_tokens"),
    _big("output_tokens"),
    _big("cached_tokens"),
    _big("thought_tokens"),
    Column("cost_usd", Double),
    _created("at"),
    _in_run(),
    UniqueConstraint("run_id", "attempt", "source", "model"),
    CheckConstraint("source IN ('reported', 'metered', 'estimated')", name="source"),
)

snapshots = Table(
    "snapshots",
    metadata,
    _id(),
    _required("project_id"),
    _required("session_id"),
    Column("run_id", Uuid),
    Column("attempt", Integer),
    Column("epoch", BigInteger, nullable=False),
    Column("source_seq", BigInteger, nullable=False),
    Column("type", snapshot_kind, nullable=False),
    Column("parent", Uuid),
    Column("manifest_key", Text, nullable=False),
    Column("manifest_sha256", Text, nullable=False),
    _big("files"),
    _big("bytes"),
    _big("new_bytes"),
    _text("spool_key", None),
    _created(),
    _in_session(),
    Index("snapshots_session_idx", "session_id", "id"),
    Index("snapshots_run_idx", "run_id", "epoch", "attempt", "source_seq"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", Uuid, nullable=False),
    Column("key", Text, nullable=False),
    Column("request_hash", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("answer", Text, nullable=False),
    _created(),
    PrimaryKeyConstraint("user_id", "key"),
)

audit = Table(
    "audit",
    metadata,
    _id(),
    _required("project_id"),
    Column("actor", Uuid),
    Column("action", Text, nullable=False),
    _text("target"),
    Column("detail", JSONB, nullable=False, server_default=text("'{}'")),
    _created("at"),
    Index(None, "project_id", "id"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    _required("project_id"),
    Column("session_id", Uuid),
    Column("run_id", Uuid),
    Column("attempt", Integer),
    Column("type", Text, nullable=False),
    Column("payload", Text, nullable=False),
    _text("trace_id"),
    _created("at"),
    Index(None, "project_id", "id"),
    CheckConstraint("type IN ('event', 'task')", name="type"),
)

loop_ticks = Table(
    "loop_ticks",
    metadata,
    Column("name", Text, primary_key=True),
    _created("ticked_at"),
    _created("resume_at"),
)
