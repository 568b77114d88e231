"""Limits of projects and users: locked, counted, changed."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import asyncpg

from contracts.quotas import DefaultLimits, Quota, Subject, Used
from control_plane.domain.quotas import Use
from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("quotas")


async def limited(
    connection: Connection, projects: Sequence[UUID], users: Sequence[UUID]
) -> set[UUID]:
    """Those that have a limit of workers; a hint, before their rows are locked."""
    records = await connection.fetch(QUERIES["limited"], projects, users)
    return {record["id"] for record in records}


async def bounded(connection: Connection, project_id: UUID, user_id: UUID | None) -> bool:
    """Whether either has any limit; a hint, as above."""
    return await connection.fetchval(QUERIES["bounded"], project_id, user_id)


async def lock(unit: Unit, projects: Iterable[UUID], users: Iterable[UUID]) -> None:
    """Projects first, each in ascending order, behind every lock of sessions."""
    await unit.connection.execute(QUERIES["lock_projects"], list(projects))
    await unit.connection.execute(QUERIES["lock_users"], list(users))


async def lock_one(unit: Unit, subject: Subject, subject_id: UUID) -> None:
    await unit.connection.execute(QUERIES[f"lock_{subject}s"], [subject_id])


async def rooms(unit: Unit, projects: Iterable[UUID], users: Iterable[UUID]) -> dict[UUID, int]:
    """Under the lock: how many more workers each may have."""
    records = await unit.connection.fetch(QUERIES["rooms"], list(projects), list(users))
    return {record["id"]: record["room"] for record in records}


async def use(connection: Connection, subject: Subject, subject_id: UUID) -> Use | None:
    """None: there is no such project or user."""
    record = await connection.fetchrow(QUERIES[f"use_of_{subject}"], subject_id)
    if record is None:
        return None
    limits = _quota(record)
    return Use(
        id=record["id"],
        subject=subject,
        own=_quota(record, "own_"),
        limits=limits,
        used=Used(
            workers=record["workers"],
            queued=record["queued"],
            runs_last_hour=None if limits.runs_per_hour is None else record["started"],
        ),
        unserved=record["unserved"],
        full_for=record["full_for"],
    )


async def note_start(unit: Unit, subject_id: UUID, run_id: UUID) -> None:
    """Counts for an hour, under the subject's lock."""
    await unit.connection.execute(QUERIES["note_start"], subject_id, run_id)


async def set_own(unit: Unit, subject: Subject, subject_id: UUID, own: Quota) -> None:
    await unit.connection.execute(QUERIES[f"set_{subject}"], subject_id, *_amounts(own))


async def defaults(connection: Connection) -> DefaultLimits:
    return _defaults(await connection.fetch(QUERIES["defaults"]))


async def lock_defaults(unit: Unit) -> DefaultLimits:
    return _defaults(await unit.connection.fetch(QUERIES["lock_defaults"]))


async def set_default(unit: Unit, subject: Subject, quota: Quota) -> None:
    await unit.connection.execute(QUERIES["set_default"], subject, *_amounts(quota))


async def waits_for(connection: Connection, run_id: UUID) -> Subject | None:
    """Whose limit of workers a queued run waits for."""
    return await connection.fetchval(QUERIES["waits_for"], run_id)


async def in_the_way(
    connection: Connection, idle_for: float, limit: int
) -> list[tuple[UUID, UUID]]:
    """(session, worker): idle while a run of the same project or user waits for a worker's end."""
    records = await connection.fetch(QUERIES["in_the_way"], idle_for, limit)
    return [(record["session_id"], record["worker_id"]) for record in records]


def _defaults(records: list[asyncpg.Record]) -> DefaultLimits:
    by_subject = {record["subject"]: _quota(record) for record in records}
    none = Quota()
    return DefaultLimits(project=by_subject.get("project", none), user=by_subject.get("user", none))


def _quota(record: asyncpg.Record, prefix: str = "") -> Quota:
    return Quota(**{name: record[prefix + name] for name in Quota.__struct_fields__})


def _amounts(quota: Quota) -> tuple[int | None, int | None, int | None]:
    return quota.max_workers, quota.max_queued, quota.runs_per_hour
