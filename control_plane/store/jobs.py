"""Jobs and their members: a row for each worker or session that a job took up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Text, cast, select

from contracts.jobs import Job, JobKind, JobPage
from control_plane.domain.cursors import Window
from control_plane.domain.jobs import ON_THEIR_WAY, EndedWorker, Member
from control_plane.store.database import Connection, Unit, row
from control_plane.store.pages import AnySelect, fetch, page
from sql.named import load as load_queries
from sql.tables import jobs

QUERIES = load_queries("jobs")

_jobs = jobs.c
_decode_counts = msgspec.json.Decoder(dict[str, int]).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    id: UUID
    project_id: UUID
    kind: JobKind
    by: UUID
    seconds: float
    """Until its deadline."""
    save_overdue: float


async def insert(unit: Unit, new: NewJob) -> None:
    """With its members: what there is at this moment."""
    await unit.connection.execute(
        QUERIES["insert"], new.id, new.project_id, new.kind.value, new.by, new.seconds
    )
    overdue = (new.save_overdue,) if new.kind is JobKind.RECONCILE_SYNC else ()
    query = QUERIES[f"enlist_{new.kind.value}"]
    await unit.connection.execute(query, new.id, new.project_id, *overdue)


async def get(connection: Connection, job_id: UUID) -> Job | None:
    records = await fetch(connection, _selected().where(_jobs.id == job_id))
    if not records:
        return None
    return (await _counted(connection, [_job(records[0])]))[0]


async def listed(connection: Connection, projects: Sequence[UUID], window: Window) -> JobPage:
    items, cursor = await page(
        connection,
        _selected().where(_jobs.project_id.in_(projects)),
        key=_jobs.id,
        scope=f"jobs {sorted(projects)}",
        window=window,
        make=_job,
    )
    return JobPage(items=await _counted(connection, items), next_cursor=cursor)


def _selected() -> AnySelect:
    return select(
        _jobs.id,
        _jobs.project_id,
        _jobs.kind,
        cast(_jobs.counts, Text).label("counts"),
        _jobs.created_at,
        _jobs.finished_at,
    )


def _job(record: asyncpg.Record) -> Job:
    return Job(
        id=record["id"],
        project_id=record["project_id"],
        kind=JobKind(record["kind"]),
        state="running" if record["finished_at"] is None else "done",
        counts=_with_sum(_decode_counts(record["counts"])),
        created_at=record["created_at"],
        finished_at=record["finished_at"],
    )


async def _counted(connection: Connection, found: list[Job]) -> list[Job]:
    """Those that are under way with what they have come to by now."""
    under_way = [job.id for job in found if job.finished_at is None]
    if not under_way:
        return found
    counts: dict[UUID, dict[str, int]] = {job_id: {} for job_id in under_way}
    for record in await connection.fetch(QUERIES["counts"], under_way):
        counts[record["job_id"]][record["outcome"]] = record["count"]
    return [
        msgspec.structs.replace(job, counts=_with_sum(counts[job.id])) if job.id in counts else job
        for job in found
    ]


def _with_sum(counts: Mapping[str, int]) -> dict[str, int]:
    return {"considered": sum(counts.values()), **counts}


async def pending(connection: Connection, limit: int) -> list[Member]:
    records = await connection.fetch(QUERIES["pending"], limit)
    return [
        Member(
            id=record["id"],
            job_id=record["job_id"],
            kind=JobKind(record["kind"]),
            session_id=record["session_id"],
            worker_id=record["worker_id"],
        )
        for record in records
    ]


async def still_pending(unit: Unit, members: Sequence[Member]) -> list[Member]:
    ids = [member.id for member in members]
    left = {record["id"] for record in await unit.connection.fetch(QUERIES["still_pending"], ids)}
    return [member for member in members if member.id in left]


async def settle(unit: Unit, outcomes: Mapping[int, str], *, detail: str = "") -> None:
    """Outcomes by member."""
    await unit.connection.execute(
        QUERIES["settle"],
        list(outcomes),
        list(outcomes.values()),
        [detail] * len(outcomes),
        [outcome not in ON_THEIR_WAY for outcome in outcomes.values()],
    )


async def advance(unit: Unit) -> None:
    """What has ended is told, what is over its time is given up, what is complete is done."""
    for query in ("follow", "time_out", "finish"):
        await unit.connection.execute(QUERIES[query])


async def forget(unit: Unit, *, days: int, limit: int) -> int:
    """How many it deleted."""
    done = await unit.connection.execute(QUERIES["forget"], days, limit)
    return int(done.rpartition(" ")[2])


async def ended_workers(unit: Unit, ids: Iterable[UUID]) -> dict[UUID, EndedWorker]:
    records = await unit.connection.fetch(QUERIES["ended_workers"], list(ids))
    return {record["id"]: EndedWorker(**row(record)) for record in records}
