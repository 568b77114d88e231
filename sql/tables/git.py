"""Credentials of projects for git hosts."""

from sqlalchemy import Column, ForeignKey, LargeBinary, PrimaryKeyConstraint, Table, Text, Uuid

from sql.tables.columns import created, metadata

git_credentials = Table(
    "git_credentials",
    metadata,
    Column("project_id", Uuid, ForeignKey("projects.id", ondelete="CASCADE"), nullable=False),
    Column("host", Text, nullable=False),
    Column("username", Text, nullable=False),
    Column("sealed_token", LargeBinary, nullable=False),
    created(),
    created("updated_at"),
    PrimaryKeyConstraint("project_id", "host"),
)
