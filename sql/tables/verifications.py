"""Verifications of workspaces: what each takes up, and what it found wrong."""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Table,
    Text,
    Uuid,
    text,
)

from sql.tables.columns import big, created, metadata, required, row_id, time, words

verifications = Table(
    "verifications",
    metadata,
    row_id(),
    Column("scope", Text, nullable=False),
    Column("project_id", Uuid),
    Column("session_id", Uuid),
    Column("marks", Boolean, nullable=False),
    Column("created_by", Uuid, ForeignKey("users.id", ondelete="SET NULL")),
    created(),
    time("finished_at"),
    Column("holder", Uuid),
    time("held_until"),
    big("bytes_read"),
    Index(
        "verifications_open_idx", "scope", unique=True, postgresql_where=text("finished_at IS NULL")
    ),
)


def _of_verification() -> Column[object]:
    return Column(
        "verification_id",
        Uuid,
        ForeignKey("verifications.id", ondelete="CASCADE"),
        primary_key=True,
    )


verification_snapshots = Table(
    "verification_snapshots",
    metadata,
    _of_verification(),
    Column("snapshot_id", Uuid, primary_key=True),
    required("project_id"),
    required("session_id"),
    words("outcome", "pending"),
    big("findings"),
)
"""`outcome`: pending, read (its manifest was), intact, damaged, gone (deleted meanwhile)."""

verification_packs = Table(
    "verification_packs",
    metadata,
    _of_verification(),
    Column("pack_key", Text(collation="C"), primary_key=True),
    words("outcome", "pending"),
)

verification_findings = Table(
    "verification_findings",
    metadata,
    row_id(),
    Column(
        "verification_id",
        Uuid,
        ForeignKey("verifications.id", ondelete="CASCADE"),
        nullable=False,
    ),
    required("project_id"),
    required("session_id"),
    required("snapshot_id"),
    words("path"),
    Column("object", Text, nullable=False),
    big("place"),
    big("length"),
    Column("found", Text, nullable=False),
    Index(None, "verification_id", "id"),
    Index(None, "verification_id", "snapshot_id"),
)
