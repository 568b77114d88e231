"""Administrators of the installation: who they are, what managers are to do, who may use how much.

Whoever was made at a bootstrap has been an administrator all along: they could reach the database.
A row of the audit without a project is of the installation.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007_administrators"
down_revision = "0006_egress"
branch_labels = None
depends_on = None

CURRENT = "released_at IS NULL AND superseded_at IS NULL"


def upgrade() -> None:
    _administrators()
    _orders()
    _limits()
    _whose()


def _administrators() -> None:
    op.add_column("users", _flag("administrator"))
    op.execute(
        "UPDATE users SET administrator = true WHERE id::text IN (SELECT detail->>'user_id'"
        " FROM audit WHERE action = 'key.create' AND detail->>'by' = 'bootstrap')"
    )
    op.alter_column("audit", "project_id", nullable=True)
    where = sa.text("project_id IS NULL")
    op.create_index("audit_installation_idx", "audit", ["id"], postgresql_where=where)


def _orders() -> None:
    version = sa.Column("version", sa.Integer(), server_default=sa.text("1"), nullable=False)
    op.add_column("managers", version)
    op.add_column("managers", sa.Column("wanted_workers", sa.Integer()))
    op.add_column("managers", sa.Column("wanted_warm", sa.Integer()))
    op.add_column("managers", _flag("wanted_draining"))


def _limits() -> None:
    for table in ("projects", "users"):
        for column in _limit_columns():
            op.add_column(table, column)
    op.create_table(
        "default_limits",
        sa.Column("subject", sa.Text(), nullable=False),
        *_limit_columns(),
        sa.CheckConstraint(
            "subject IN ('project', 'user')", name=op.f("default_limits_subject_check")
        ),
        sa.PrimaryKeyConstraint("subject", name=op.f("default_limits_pkey")),
    )
    limited = sa.text("max_workers IS NOT NULL")
    op.create_index("users_limited_idx", "users", ["id"], postgresql_where=limited)
    op.execute("INSERT INTO default_limits (subject) VALUES ('project'), ('user')")
    op.create_table(
        "run_starts",
        sa.Column("subject_id", sa.Uuid(), nullable=False),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("subject_id", "at", "run_id", name=op.f("run_starts_pkey")),
    )


def _whose() -> None:
    op.add_column("runs", sa.Column("user_id", sa.Uuid()))
    op.add_column("session_workers", sa.Column("user_id", sa.Uuid()))
    op.execute(
        "UPDATE runs SET user_id = p.created_by FROM run_payloads p"
        " WHERE p.run_id = runs.id AND runs.finished_at IS NULL"
    )
    op.execute(
        "UPDATE session_workers w SET user_id = s.created_by FROM sessions s"
        f" WHERE s.id = w.session_id AND {CURRENT}"
    )
    for column in ("project", "user"):
        op.create_index(
            f"session_workers_{column}_idx",
            "session_workers",
            [f"{column}_id"],
            postgresql_where=sa.text(CURRENT),
        )
    pending = sa.text("state = 'pending'")
    op.create_index("runs_pending_project_idx", "runs", ["project_id"], postgresql_where=pending)
    line = sa.text("state IN ('pending', 'queued')")
    op.create_index("runs_user_line_idx", "runs", ["user_id"], postgresql_where=line)


def _flag(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Boolean(), server_default=sa.text("false"), nullable=False)


def _limit_columns() -> list[sa.Column[object]]:
    """None: the default's; where that has none either, there is none."""
    return [
        sa.Column(name, sa.Integer()) for name in ("max_workers", "max_queued", "runs_per_hour")
    ]
