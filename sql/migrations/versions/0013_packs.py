"""What was uploaded, which snapshots name it, how far collecting has come; verifications.

Snapshots made before this name nothing yet: their manifests are read in the background, and nothing
is collected until they have been.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013_packs"
down_revision = "0012_layers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _packs()
    _names()
    _snapshots()
    _verifications()
    _members()
    _findings()


def _packs() -> None:
    op.create_table(
        "packs",
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        _id("project_id"),
        _id("session_id"),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("length", sa.BigInteger(), nullable=True),
        _now("uploaded_at"),
        _time("condemned_at"),
        _time("gone_at"),
        _time("deleted_at"),
        sa.CheckConstraint(
            "purpose IN ('pack', 'manifest', 'spool')", name=op.f("packs_purpose_check")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("packs_pkey")),
    )
    condemned = sa.text("condemned_at IS NOT NULL AND gone_at IS NULL")
    op.create_index("packs_condemned_idx", "packs", ["condemned_at"], postgresql_where=condemned)
    gone = sa.text("gone_at IS NOT NULL")
    op.create_index("packs_gone_idx", "packs", ["gone_at"], postgresql_where=gone)
    op.create_table(
        "collections",
        sa.Column("one", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        _time("packs_known_at"),
        _words("looked_at"),
        _words("listed"),
        sa.Column("holder", sa.Uuid(), nullable=True),
        _time("held_until"),
        sa.CheckConstraint("one", name=op.f("collections_one_check")),
        sa.PrimaryKeyConstraint("one", name=op.f("collections_pkey")),
    )


def _names() -> None:
    op.create_table(
        "snapshot_packs",
        _id("snapshot_id"),
        sa.Column("pack_key", sa.Text(collation="C"), nullable=False),
        sa.ForeignKeyConstraint(
            ["snapshot_id"],
            ["snapshots.id"],
            name=op.f("snapshot_packs_snapshot_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["pack_key"], ["packs.key"], name=op.f("snapshot_packs_pack_key_fkey")
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "pack_key", name=op.f("snapshot_packs_pkey")),
    )
    op.create_index(op.f("snapshot_packs_pack_key_idx"), "snapshot_packs", ["pack_key"])


def _snapshots() -> None:
    op.add_column(
        "snapshots",
        sa.Column("packs_known", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column("snapshots", _time("damaged_at"))
    op.add_column("snapshots", _words("damage"))
    unknown = sa.text("NOT packs_known")
    op.create_index(
        "snapshots_unknown_idx", "snapshots", ["project_id", "id"], postgresql_where=unknown
    )
    passing = sa.text("type <> 'acknowledged'")
    op.create_index(
        "snapshots_passing_idx", "snapshots", ["created_at", "id"], postgresql_where=passing
    )


def _verifications() -> None:
    op.create_table(
        "verifications",
        _id("id"),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("session_id", sa.Uuid(), nullable=True),
        sa.Column("marks", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        _now("created_at"),
        _time("finished_at"),
        sa.Column("holder", sa.Uuid(), nullable=True),
        _time("held_until"),
        _big("bytes_read"),
        sa.ForeignKeyConstraint(
            ["created_by"],
            ["users.id"],
            name=op.f("verifications_created_by_fkey"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("verifications_pkey")),
    )
    unfinished = sa.text("finished_at IS NULL")
    op.create_index(
        "verifications_open_idx",
        "verifications",
        ["scope"],
        unique=True,
        postgresql_where=unfinished,
    )


def _members() -> None:
    op.create_table(
        "verification_snapshots",
        _id("verification_id"),
        _id("snapshot_id"),
        _id("project_id"),
        _id("session_id"),
        _words("outcome", "pending"),
        _big("findings"),
        _of_verification("verification_snapshots"),
        sa.PrimaryKeyConstraint(
            "verification_id", "snapshot_id", name=op.f("verification_snapshots_pkey")
        ),
    )
    op.create_table(
        "verification_packs",
        _id("verification_id"),
        sa.Column("pack_key", sa.Text(collation="C"), nullable=False),
        _words("outcome", "pending"),
        _of_verification("verification_packs"),
        sa.PrimaryKeyConstraint(
            "verification_id", "pack_key", name=op.f("verification_packs_pkey")
        ),
    )


def _findings() -> None:
    op.create_table(
        "verification_findings",
        _id("id"),
        _id("verification_id"),
        _id("project_id"),
        _id("session_id"),
        _id("snapshot_id"),
        _words("path"),
        sa.Column("object", sa.Text(), nullable=False),
        _big("place"),
        _big("length"),
        sa.Column("found", sa.Text(), nullable=False),
        _of_verification("verification_findings"),
        sa.PrimaryKeyConstraint("id", name=op.f("verification_findings_pkey")),
    )
    for column in ("id", "snapshot_id"):
        op.create_index(
            op.f(f"verification_findings_verification_id_{column}_idx"),
            "verification_findings",
            ["verification_id", column],
        )


def _of_verification(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["verification_id"],
        ["verifications.id"],
        name=op.f(f"{table}_verification_id_fkey"),
        ondelete="CASCADE",
    )


def _id(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid(), nullable=False)


def _time(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=True)


def _now(name: str) -> sa.Column[object]:
    return sa.Column(
        name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
    )


def _words(name: str, default: str = "") -> sa.Column[object]:
    return sa.Column(name, sa.Text(), server_default=sa.text(f"'{default}'"), nullable=False)


def _big(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False)
