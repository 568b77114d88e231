"""Uploaded objects, which snapshots name them, and how far collecting them has come."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Table,
    Text,
    Uuid,
    text,
)

from sql.tables.columns import created, metadata, required, time, words

packs = Table(
    "packs",
    metadata,
    Column("key", Text(collation="C"), primary_key=True),
    required("project_id"),
    required("session_id"),
    Column("purpose", Text, nullable=False),
    Column("length", BigInteger),
    created("uploaded_at"),
    time("condemned_at"),
    time("gone_at"),
    time("deleted_at"),
    CheckConstraint("purpose IN ('pack', 'manifest', 'spool')", name="purpose"),
    Index(
        "packs_condemned_idx",
        "condemned_at",
        postgresql_where=text("condemned_at IS NOT NULL AND gone_at IS NULL"),
    ),
    Index("packs_gone_idx", "gone_at", postgresql_where=text("gone_at IS NOT NULL")),
)
"""Of sessions' prefixes. No foreign keys: a pack outlives the session that uploaded it."""

snapshot_packs = Table(
    "snapshot_packs",
    metadata,
    Column("snapshot_id", Uuid, ForeignKey("snapshots.id", ondelete="CASCADE"), primary_key=True),
    Column("pack_key", Text(collation="C"), ForeignKey("packs.key"), primary_key=True),
    Index(None, "pack_key"),
)
"""All that a snapshot needs: its manifest and its spool too."""

collections = Table(
    "collections",
    metadata,
    Column("one", Boolean, primary_key=True, server_default=text("true")),
    time("packs_known_at"),
    words("looked_at"),
    words("listed"),
    Column("holder", Uuid),
    time("held_until"),
    CheckConstraint("one", name="one"),
)
"""One row. `looked_at` and `listed` are keys up to which rows and the store have been walked."""
