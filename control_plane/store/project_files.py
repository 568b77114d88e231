"""A project's files: rows by path, and the rules about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from contracts.project_files import ProjectFileRule
from control_plane.domain.project_files import FileRow, ancestors_of, parent_of
from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("project_files")


@dataclass(frozen=True, slots=True)
class Use:
    entries: int
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NewFile:
    sha256: str
    size: int
    executable: bool


async def rules(connection: Connection, project_id: UUID) -> list[ProjectFileRule]:
    records = await connection.fetch(QUERIES["rules"], project_id)
    return [ProjectFileRule(**dict(record.items())) for record in records]


async def set_rules(unit: Unit, project_id: UUID, wanted: Sequence[ProjectFileRule]) -> None:
    await unit.connection.execute(QUERIES["clear_rules"], project_id)
    await unit.connection.execute(
        QUERIES["insert_rules"],
        project_id,
        [rule.prefix for rule in wanted],
        [rule.read for rule in wanted],
        [rule.write for rule in wanted],
    )


async def lock(unit: Unit, project_id: UUID) -> None:
    await unit.connection.execute(QUERIES["lock_project"], project_id)


async def get(connection: Connection, project_id: UUID, path: str) -> FileRow | None:
    record = await connection.fetchrow(QUERIES["get"], project_id, path)
    return None if record is None else _row(record)


async def get_many(connection: Connection, project_id: UUID, paths: Sequence[str]) -> list[FileRow]:
    """Those that are there, by name."""
    return _rows(await connection.fetch(QUERIES["get_many"], project_id, list(paths)))


async def children(
    connection: Connection, project_id: UUID, parent: str, *, after: str, limit: int
) -> list[FileRow]:
    return _rows(await connection.fetch(QUERIES["children"], project_id, parent, after, limit))


async def levels(
    connection: Connection, project_id: UUID, path: str, depth: int, *, after: str, limit: int
) -> list[FileRow]:
    """What is in a directory, `depth` levels of it."""
    most = depth + (path.count("/") + 1 if path else 0)
    return _rows(await connection.fetch(QUERIES["levels"], project_id, path, after, limit, most))


async def beneath(
    connection: Connection, project_id: UUID, path: str, *, after: str, limit: int
) -> list[FileRow]:
    """All that is in a directory and in those in it; with their keys."""
    return _rows(await connection.fetch(QUERIES["beneath"], project_id, path, after, limit))


async def named(
    connection: Connection, project_id: UUID, path: str, words: str, *, after: str, limit: int
) -> list[FileRow]:
    """Without words all that is in a directory; with their keys."""
    found = await connection.fetch(QUERIES["named"], project_id, path, after, limit, words)
    return _rows(found)


async def use(unit: Unit, project_id: UUID) -> Use:
    record = await unit.connection.fetchrow(QUERIES["use"], project_id)
    return Use(record["entries"], record["bytes"]) if record else Use(0, 0)


async def in_the_way(unit: Unit, project_id: UUID, path: str) -> str | None:
    """A file where a directory above `path` would have to be."""
    found: str | None = await unit.connection.fetchval(
        QUERIES["in_the_way"], project_id, ancestors_of(path)
    )
    return found


async def make_directories(unit: Unit, project_id: UUID, paths: Sequence[str], *, by: UUID) -> None:
    """Those that are there stay."""
    await unit.connection.execute(
        QUERIES["insert_directories"],
        project_id,
        list(paths),
        [parent_of(path) for path in paths],
        by,
    )


async def put_many(unit: Unit, project_id: UUID, files: Mapping[str, NewFile], *, by: UUID) -> None:
    """By path."""
    news = list(files.values())
    await unit.connection.execute(
        QUERIES["put"],
        project_id,
        list(files),
        [parent_of(path) for path in files],
        [file.sha256 for file in news],
        [file.size for file in news],
        [file.executable for file in news],
        by,
    )


async def remove(unit: Unit, project_id: UUID, path: str) -> int:
    """How many went."""
    return len(await unit.connection.fetch(QUERIES["remove"], project_id, path))


async def move(unit: Unit, project_id: UUID, path: str, to: str, *, by: UUID) -> int:
    moved = await unit.connection.fetch(QUERIES["move"], project_id, path, to, parent_of(to), by)
    return len(moved)


def _rows(records: Sequence[asyncpg.Record]) -> list[FileRow]:
    return [_row(record) for record in records]


def _row(record: asyncpg.Record) -> FileRow:
    return FileRow(**dict(record.items()))
