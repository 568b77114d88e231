"""What an app's sessions run in, what managers grant of it, and what a worker was made of.

Nothing was said, or is granted, where the object is empty.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009_containers"
down_revision = "0008_git"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("apps", _json("container", "{}"))
    said = sa.text("container <> '{}'")
    op.create_index("apps_container_idx", "apps", ["id"], postgresql_where=said)
    op.add_column("managers", _json("containers", "{}"))
    op.add_column("managers", _json("preflight", "[]"))
    image = sa.Column("image", sa.Text(), server_default=sa.text("''"), nullable=False)
    op.add_column("session_workers", image)


def _json(name: str, default: str) -> sa.Column[object]:
    return sa.Column(
        name, postgresql.JSONB(), server_default=sa.text(f"'{default}'"), nullable=False
    )
