"""What agents say by the platform's tools: calls, questions that outlive their run, summaries.

A call is kept once for each key in a run. A request says whom its answer goes to, a task what its
agent said of it last.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005_tools"
down_revision = "0004_models"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", _text("summary"))
    op.add_column("human_loop_requests", _text("answer_to", "run"))
    op.create_check_constraint(
        op.f("human_loop_requests_answer_to_check"),
        "human_loop_requests",
        "answer_to IN ('run', 'tool', 'message')",
    )
    _tool_calls()


def _text(name: str, default: str = "") -> sa.Column[object]:
    return sa.Column(name, sa.Text(), server_default=sa.text(f"'{default}'"), nullable=False)


def _time(name: str) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )


def _tool_calls() -> None:
    op.create_table(
        "tool_calls",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("tool", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        _text("words"),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("worker_id", sa.Uuid(), nullable=True),
        sa.Column("called_by", sa.Uuid(), nullable=True),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("calls", sa.Integer(), server_default=sa.text("1"), nullable=False),
        _time("said_at"),
        _time("created_at"),
        sa.CheckConstraint(
            "tool IN ('finish_task', 'block_task', 'request_input', 'ask_user')",
            name=op.f("tool_calls_tool_check"),
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "session_id"],
            ["sessions.project_id", "sessions.id"],
            name=op.f("tool_calls_project_id_session_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "run_id"],
            ["runs.project_id", "runs.id"],
            name=op.f("tool_calls_project_id_run_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("tool_calls_pkey")),
        sa.UniqueConstraint("run_id", "tool", "key", name=op.f("tool_calls_run_id_tool_key_key")),
    )
