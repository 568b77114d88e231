"""Columns and keys that many tables have, and the metadata that holds every table."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)


def row_id() -> Column[object]:
    return Column("id", Uuid, primary_key=True)


def time(name: str, *, nullable: bool = True) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def created(name: str = "created_at") -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


def words(name: str, default: str | None = "") -> Column[object]:
    if default is None:
        return Column(name, Text)
    return Column(name, Text, nullable=False, server_default=text(f"'{default}'"))


def integer(name: str, default: int = 0) -> Column[object]:
    return Column(name, Integer, nullable=False, server_default=text(str(default)))


def big(name: str, default: int = 0) -> Column[object]:
    return Column(name, BigInteger, nullable=False, server_default=text(str(default)))


def flag(name: str) -> Column[object]:
    return Column(name, Boolean, nullable=False, server_default=text("false"))


def json(name: str) -> Column[object]:
    """An object, empty where nothing was said."""
    return Column(name, JSONB, nullable=False, server_default=text("'{}'"))


def json_list(name: str) -> Column[object]:
    return Column(name, JSONB, nullable=False, server_default=text("'[]'"))


def required(name: str) -> Column[object]:
    return Column(name, Uuid, nullable=False)


def in_session(*, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["project_id", "session_id"], ["sessions.project_id", "sessions.id"], ondelete=ondelete
    )


def in_run(*, ondelete: str = "CASCADE") -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["project_id", "run_id"], ["runs.project_id", "runs.id"], ondelete=ondelete
    )


def limits() -> list[Column[object]]:
    """Of a project or a user: None leaves it to the installation's default, if there is one."""
    return [Column(name, Integer) for name in ("max_workers", "max_queued", "runs_per_hour")]
