"""Limits of a session's container, tickets to its bytes, jobs over many of them.

Sessions and apps say what a container may use; managers say where they are reached and what they
isolate; a worker remembers the limits it was made with, what was told of its start, since when it
is idle, and since when it has something unsaved.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003_berths"
down_revision = "0002_starts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _columns()
    _tickets()
    _jobs()
    _job_members()


def _json(name: str) -> sa.Column[object]:
    return sa.Column(name, postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False)


def _text(name: str, default: str = "") -> sa.Column[object]:
    return sa.Column(name, sa.Text(), server_default=sa.text(f"'{default}'"), nullable=False)


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True)


def _created() -> sa.Column[object]:
    return sa.Column(
        "created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )


def _columns() -> None:
    op.add_column("apps", _json("worker_limits"))
    op.add_column("sessions", _json("worker_limits"))
    keep_warm = sa.Column(
        "keep_warm", sa.Boolean(), server_default=sa.text("false"), nullable=False
    )
    op.add_column("sessions", keep_warm)
    op.add_column("managers", _text("url"))
    op.add_column("managers", _json("isolation"))
    op.add_column("session_workers", _json("limits"))
    op.add_column("session_workers", _text("steps_told"))
    op.add_column("session_workers", _time("idle_since"))
    op.add_column("session_workers", _time("unsaved_since"))
    op.create_index(
        "session_workers_unsaved_idx",
        "session_workers",
        ["unsaved_since"],
        unique=False,
        postgresql_where=sa.text(
            "unsaved_since IS NOT NULL AND released_at IS NULL AND superseded_at IS NULL"
        ),
    )
    op.create_index(
        "commands_sync_idx",
        "commands",
        ["worker_id", "created_at"],
        unique=False,
        postgresql_where=sa.text("type = 'sync'"),
    )


def _tickets() -> None:
    op.create_table(
        "tickets",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("manager_id", sa.Uuid(), nullable=False),
        sa.Column("audience", sa.Text(), nullable=False),
        sa.Column("issued_to", sa.Uuid(), nullable=False),
        _created(),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        _time("redeemed_at"),
        sa.CheckConstraint("token_hash ~ '^[0-9a-f]{64}$'", name=op.f("tickets_token_hash_check")),
        sa.ForeignKeyConstraint(
            ["manager_id"], ["managers.id"], name=op.f("tickets_manager_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "worker_id"],
            ["session_workers.project_id", "session_workers.id"],
            name=op.f("tickets_project_id_worker_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("tickets_pkey")),
    )
    op.create_index(op.f("tickets_expires_at_idx"), "tickets", ["expires_at"], unique=False)


def _jobs() -> None:
    kinds = ("cleanup_idle", "cleanup_stopped", "reconcile_runs", "reconcile_sync")
    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Enum(*kinds, name="job_kind"), nullable=False),
        _json("counts"),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        _created(),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        _time("finished_at"),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name=op.f("jobs_project_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("jobs_created_by_fkey"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("jobs_pkey")),
        sa.UniqueConstraint("project_id", "id", name=op.f("jobs_project_id_id_key")),
    )
    for name, columns, condition in (
        ("jobs_open_idx", ["id"], "finished_at IS NULL"),
        ("jobs_finished_idx", ["finished_at"], "finished_at IS NOT NULL"),
    ):
        op.create_index(name, "jobs", columns, unique=False, postgresql_where=sa.text(condition))


def _job_members() -> None:
    op.create_table(
        "job_members",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=True),
        _text("outcome", "pending"),
        _text("detail"),
        _time("acted_at"),
        _time("ended_at"),
        sa.ForeignKeyConstraint(
            ["project_id", "job_id"],
            ["jobs.project_id", "jobs.id"],
            name=op.f("job_members_project_id_job_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "session_id"],
            ["sessions.project_id", "sessions.id"],
            name=op.f("job_members_project_id_session_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("job_members_pkey")),
    )
    op.create_index(
        "job_members_open_idx",
        "job_members",
        ["job_id", "id"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("job_members_job_idx", "job_members", ["job_id", "outcome"], unique=False)
