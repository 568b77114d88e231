"""What each snapshot changed and where the log told of it; where a session's conversation goes on
from another one's, or from an earlier point of its own.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011_history"
down_revision = "0010_disks"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("added", "changed", "removed"):
        op.add_column(
            "snapshots",
            sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        )
    op.add_column("snapshots", sa.Column("seq", sa.BigInteger(), nullable=True))
    op.create_table(
        "branches",
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("begins_at", sa.BigInteger(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=False),
        sa.Column("from_session_id", sa.Uuid(), nullable=False),
        sa.Column("from_seq", sa.BigInteger(), nullable=False),
        sa.Column("from_line", sa.BigInteger(), nullable=False),
        sa.Column("from_until", sa.BigInteger(), nullable=True),
        sa.Column("snapshot_id", sa.Uuid(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=True),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["project_id", "session_id"],
            ["sessions.project_id", "sessions.id"],
            name=op.f("branches_project_id_session_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("session_id", "begins_at", name=op.f("branches_pkey")),
    )
