"""The model gateway: upstreams of a project with their sealed keys, and calls with their usage."""

import sqlalchemy as sa
from alembic import op

revision = "0004_models"
down_revision = "0003_berths"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _upstreams()
    _calls()


def _text(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Text(), nullable=False)


def _time(name: str) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )


def _big(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)


def _upstreams() -> None:
    op.create_table(
        "model_upstreams",
        sa.Column("project_id", sa.Uuid(), nullable=False),
        _text("name"),
        _text("url"),
        sa.Column("formats", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("models", sa.ARRAY(sa.Text()), nullable=False),
        _text("auth"),
        sa.Column("sealed_key", sa.LargeBinary(), nullable=False),
        _time("created_at"),
        _time("updated_at"),
        sa.CheckConstraint(
            "auth IN ('bearer', 'x-api-key')", name=op.f("model_upstreams_auth_check")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name=op.f("model_upstreams_project_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", "name", name=op.f("model_upstreams_pkey")),
    )


def _calls() -> None:
    op.create_table(
        "model_calls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        _text("upstream"),
        _text("path"),
        _text("model"),
        sa.Column("state", sa.Text(), server_default=sa.text("'open'"), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("source", sa.Text(), nullable=True),
        _big("input_tokens"),
        _big("output_tokens"),
        _big("cached_tokens"),
        _big("thought_tokens"),
        sa.Column("provider_id", sa.Text(), server_default=sa.text("''"), nullable=False),
        _time("started_at"),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('open', 'completed', 'refused', 'cut')", name=op.f("model_calls_state_check")
        ),
        sa.CheckConstraint(
            "source IN ('metered', 'estimated')", name=op.f("model_calls_source_check")
        ),
        sa.CheckConstraint(
            "(state = 'open') = (ended_at IS NULL)", name=op.f("model_calls_ended_check")
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "session_id"],
            ["sessions.project_id", "sessions.id"],
            name=op.f("model_calls_project_id_session_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "run_id"],
            ["runs.project_id", "runs.id"],
            name=op.f("model_calls_project_id_run_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("model_calls_pkey")),
    )
    for name, columns, condition in (
        ("model_calls_run_idx", ["run_id", "id"], "run_id IS NOT NULL"),
        ("model_calls_session_idx", ["session_id", "id"], None),
        ("model_calls_project_idx", ["project_id", "id"], None),
        ("model_calls_open_idx", ["deadline"], "state = 'open'"),
    ):
        op.create_index(
            name,
            "model_calls",
            columns,
            unique=False,
            postgresql_where=sa.text(condition) if condition else None,
        )
