"""What apps say of workspaces, and a project's own files: rows, their objects, their rules."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012_layers"
down_revision = "0011_history"
branch_labels = None
depends_on = None

ROLE = postgresql.ENUM(name="member_role", create_type=False)


def upgrade() -> None:
    op.add_column(
        "apps",
        sa.Column(
            "runtime_manifest", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False
        ),
    )
    _objects()
    _files()
    _rules()


def _objects() -> None:
    op.create_table(
        "project_objects",
        _project(),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=False),
        _time("named_at"),
        sa.Column("stored_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("condemned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("doomed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        _in_project("project_objects"),
        sa.PrimaryKeyConstraint("project_id", "sha256", name=op.f("project_objects_pkey")),
        sa.UniqueConstraint("key", name=op.f("project_objects_key_key")),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("project_objects_sha256_check")),
    )


def _files() -> None:
    op.create_table(
        "project_files",
        _project(),
        sa.Column("path", sa.Text(collation="C"), nullable=False),
        sa.Column("parent", sa.Text(collation="C"), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=True),
        sa.Column("size", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("executable", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("updated_by", sa.Uuid(), nullable=True),
        _time("updated_at"),
        _in_project("project_files"),
        sa.ForeignKeyConstraint(
            ["project_id", "sha256"],
            ["project_objects.project_id", "project_objects.sha256"],
            name=op.f("project_files_project_id_sha256_fkey"),
        ),
        sa.PrimaryKeyConstraint("project_id", "path", name=op.f("project_files_pkey")),
    )
    op.create_index(
        op.f("project_files_project_id_parent_path_idx"),
        "project_files",
        ["project_id", "parent", "path"],
    )
    op.create_index(
        op.f("project_files_project_id_sha256_idx"), "project_files", ["project_id", "sha256"]
    )


def _rules() -> None:
    op.create_table(
        "project_file_rules",
        _project(),
        sa.Column("prefix", sa.Text(collation="C"), nullable=False),
        sa.Column("read", ROLE, nullable=False),
        sa.Column("write", ROLE, nullable=False),
        _in_project("project_file_rules"),
        sa.PrimaryKeyConstraint("project_id", "prefix", name=op.f("project_file_rules_pkey")),
    )


def _project() -> sa.Column[object]:
    return sa.Column("project_id", sa.Uuid(), nullable=False)


def _in_project(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["project_id"],
        ["projects.id"],
        name=op.f(f"{table}_project_id_fkey"),
        ondelete="CASCADE",
    )


def _time(name: str) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )
