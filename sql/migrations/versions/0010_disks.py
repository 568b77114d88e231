"""What holds a worker's disk limit, as its manager says; NULL: it has none, or nobody said."""

import sqlalchemy as sa
from alembic import op

revision = "0010_disks"
down_revision = "0009_containers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("session_workers", sa.Column("disk", sa.Text(), nullable=True))
    op.create_check_constraint(
        op.f("session_workers_disk_check"),
        "session_workers",
        "disk IN ('quota', 'image', 'tmpfs', 'watch')",
    )
