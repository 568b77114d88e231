"""What sessions may reach: of a project, and of an app in its place; denials told once.

Nothing was said where the object is empty.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006_egress"
down_revision = "0005_tools"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", _policy())
    op.add_column("apps", _policy())
    told = sa.Column(
        "told_denials",
        postgresql.ARRAY(sa.Uuid()),
        server_default=sa.text("'{}'"),
        nullable=False,
    )
    op.add_column("session_workers", told)


def _policy() -> sa.Column[object]:
    return sa.Column("egress", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False)
