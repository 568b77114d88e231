"""What a session's workspace begins with."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014_checkouts"
down_revision = "0013_packs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "sessions",
        sa.Column("workspace", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
    )
