"""A project's own files: rows, the objects that hold their content, and who may do what."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
)

from sql.tables.columns import big, created, flag, metadata, time
from sql.tables.enums import member_role


def _in_project() -> Column[object]:
    return Column("project_id", Uuid, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False)


project_objects = Table(
    "project_objects",
    metadata,
    _in_project(),
    Column("sha256", Text, nullable=False),
    Column("key", Text, nullable=False, unique=True),
    Column("length", BigInteger, nullable=False),
    created("named_at"),
    time("stored_at"),
    time("condemned_at"),
    flag("doomed"),
    PrimaryKeyConstraint("project_id", "sha256"),
    CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
)

project_files = Table(
    "project_files",
    metadata,
    _in_project(),
    Column("path", Text(collation="C"), nullable=False),
    Column("parent", Text(collation="C"), nullable=False),
    Column("sha256", Text),
    big("size"),
    flag("executable"),
    Column("updated_by", Uuid),
    created("updated_at"),
    PrimaryKeyConstraint("project_id", "path"),
    ForeignKeyConstraint(
        ["project_id", "sha256"], ["project_objects.project_id", "project_objects.sha256"]
    ),
    Index(None, "project_id", "parent", "path"),
    Index(None, "project_id", "sha256"),
)

project_file_rules = Table(
    "project_file_rules",
    metadata,
    _in_project(),
    Column("prefix", Text(collation="C"), nullable=False),
    Column("read", member_role, nullable=False),
    Column("write", member_role, nullable=False),
    PrimaryKeyConstraint("project_id", "prefix"),
)
