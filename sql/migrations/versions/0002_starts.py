"""Which workers were told to start a run: an index for what heartbeats ask."""

import sqlalchemy as sa
from alembic import op

revision = "0002_starts"
down_revision = "0001_spine"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "commands_start_idx",
        "commands",
        ["worker_id", "done_at"],
        unique=False,
        postgresql_where=sa.text("type = 'start'"),
    )
