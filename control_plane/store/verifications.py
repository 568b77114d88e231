"""Verifications: what each takes up and what it found; every step is a guarded update."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import select

from chassis.ids import new_id
from contracts.verifications import (
    Finding,
    FindingPage,
    SnapshotOutcome,
    Verification,
    VerificationPage,
    VerifiedSnapshot,
    VerifiedSnapshotPage,
    VerifyWorkspaces,
)
from control_plane.domain.cursors import Window
from control_plane.store.database import Connection, Unit
from control_plane.store.pages import AnySelect, fetch, page
from sql.named import load as load_queries
from sql.tables import verification_findings, verification_snapshots, verifications

QUERIES = load_queries("verifications")

_jobs = verifications.c
_findings = verification_findings.c
_members = verification_snapshots.c


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    id: UUID
    marks: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    id: UUID
    project_id: UUID
    session_id: UUID
    manifest_key: str
    manifest_sha256: str
    spool_key: str | None
    damaged: bool
    gone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A manifest, and the snapshots that have it."""

    manifest_key: str
    manifest_sha256: str
    ids: list[UUID]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmarked:
    id: UUID
    session_id: UUID
    type: str
    findings: int
    first: str


class NewFinding(NamedTuple):
    snapshot_id: UUID
    path: str
    object: str
    offset: int
    length: int
    found: str


async def insert(unit: Unit, wanted: VerifyWorkspaces, *, by: UUID) -> tuple[UUID, bool]:
    """With the snapshots that there are. False: one of this scope is under way, it is that one."""
    scope = f"session {wanted.session_id}" if wanted.session_id else f"project {wanted.project_id}"
    row = ("all" if wanted.all else scope, wanted.project_id, wanted.session_id, wanted.marks, by)
    made: UUID | None = await unit.connection.fetchval(QUERIES["insert"], new_id(), *row)
    if made is None:
        there: UUID | None = await unit.connection.fetchval(QUERIES["open_one"], row[0])
        # or it ended in this moment
        return (there, False) if there is not None else await insert(unit, wanted, by=by)
    await unit.connection.execute(QUERIES["enlist"], made, wanted.project_id, wanted.session_id)
    return made, True


async def get(connection: Connection, verification_id: UUID) -> Verification | None:
    records = await fetch(connection, _selected().where(_jobs.id == verification_id))
    return (await _counted(connection, [_verification(one) for one in records]) or [None])[0]


async def listed(connection: Connection, window: Window) -> VerificationPage:
    items, cursor = await page(
        connection,
        _selected(),
        key=_jobs.id,
        scope="verifications",
        window=window,
        make=_verification,
    )
    return VerificationPage(items=await _counted(connection, items), next_cursor=cursor)


async def snapshots(
    connection: Connection,
    verification_id: UUID,
    outcome: SnapshotOutcome | None,
    window: Window,
) -> VerifiedSnapshotPage:
    statement = select(
        _members.snapshot_id.label("id"),
        _members.project_id,
        _members.session_id,
        _members.outcome,
        _members.findings,
    ).where(_members.verification_id == verification_id)
    if outcome is not None:
        statement = statement.where(_members.outcome == outcome.value)
    items, cursor = await page(
        connection,
        statement,
        key=_members.snapshot_id,
        scope=f"verified {verification_id} {outcome}",
        window=window,
        make=lambda record: msgspec.convert(dict(record.items()), VerifiedSnapshot),
    )
    return VerifiedSnapshotPage(items=items, next_cursor=cursor)


async def findings(
    connection: Connection, verification_id: UUID, snapshot_id: UUID | None, window: Window
) -> FindingPage:
    statement = select(
        _findings.id,
        _findings.project_id,
        _findings.session_id,
        _findings.snapshot_id,
        _findings.path,
        _findings.object,
        _findings.place.label("offset"),
        _findings.length,
        _findings.found,
    ).where(_findings.verification_id == verification_id)
    if snapshot_id is not None:
        statement = statement.where(_findings.snapshot_id == snapshot_id)
    items, cursor = await page(
        connection,
        statement,
        key=_findings.id,
        scope=f"findings {verification_id} {snapshot_id}",
        window=window,
        make=lambda record: msgspec.convert(dict(record.items()), Finding),
    )
    return FindingPage(items=items, next_cursor=cursor)


async def hold(unit: Unit, holder: UUID, seconds: float) -> Held | None:
    """The oldest one that nobody else is at."""
    record = await unit.connection.fetchrow(QUERIES["hold"], holder, seconds)
    return None if record is None else Held(**dict(record.items()))


async def let_go(unit: Unit, holder: UUID) -> None:
    await unit.connection.execute(QUERIES["let_go"], holder)


async def unread(connection: Connection, verification_id: UUID, limit: int) -> list[Unread]:
    records = await connection.fetch(QUERIES["unread"], verification_id, limit)
    return [Unread(**dict(record.items())) for record in records]


async def read(
    unit: Unit, verification_id: UUID, snapshot_id: UUID, outcome: SnapshotOutcome, found: int
) -> bool:
    """False: somebody else said so before."""
    row = (verification_id, snapshot_id, outcome.value, found)
    return await unit.connection.fetchval(QUERIES["read"], *row) is not None


async def enlist_packs(unit: Unit, verification_id: UUID, keys: Sequence[str]) -> None:
    await unit.connection.execute(QUERIES["enlist_packs"], verification_id, list(keys))


async def names(connection: Connection, snapshot_id: UUID) -> set[str]:
    """What is known that it names."""
    return {one["pack_key"] for one in await connection.fetch(QUERIES["names"], snapshot_id)}


async def window_of_packs(connection: Connection, verification_id: UUID, limit: int) -> list[str]:
    records = await connection.fetch(QUERIES["window"], verification_id, limit)
    return [record["pack_key"] for record in records]


async def naming(connection: Connection, verification_id: UUID, keys: Sequence[str]) -> list[Named]:
    records = await connection.fetch(QUERIES["naming"], verification_id, list(keys))
    return [Named(**dict(record.items())) for record in records]


async def settle_packs(unit: Unit, verification_id: UUID, outcomes: Mapping[str, str]) -> set[str]:
    """Those that nobody had settled before."""
    rows = (list(outcomes), list(outcomes.values()))
    records = await unit.connection.fetch(QUERIES["settle_packs"], verification_id, *rows)
    return {record["pack_key"] for record in records}


async def count_read(unit: Unit, verification_id: UUID, size: int) -> None:
    await unit.connection.execute(QUERIES["count_read"], verification_id, size)


async def insert_findings(unit: Unit, verification_id: UUID, new: Sequence[NewFinding]) -> None:
    await unit.connection.execute(
        QUERIES["insert_findings"],
        verification_id,
        [new_id() for _ in new],
        [one.snapshot_id for one in new],
        [one.path for one in new],
        [one.object for one in new],
        [one.offset for one in new],
        [one.length for one in new],
        [one.found for one in new],
    )


async def found(unit: Unit, verification_id: UUID, counts: Mapping[UUID, int]) -> None:
    """Damaged ones, and how many findings more they have."""
    await unit.connection.execute(
        QUERIES["found"], verification_id, list(counts), list(counts.values())
    )


async def unmarked(connection: Connection, verification_id: UUID, limit: int) -> list[Unmarked]:
    records = await connection.fetch(QUERIES["unmarked"], verification_id, limit)
    return [Unmarked(**dict(record.items())) for record in records]


async def mark(unit: Unit, snapshot_id: UUID, damage: str) -> bool:
    return await unit.connection.fetchval(QUERIES["mark"], snapshot_id, damage) is not None


async def conclude(unit: Unit, held: Held) -> bool:
    """Once every pack has been read. False: something is left, or somebody else did."""
    await unit.connection.execute(QUERIES["conclude"], held.id)
    if held.marks:
        await unit.connection.execute(QUERIES["unmark"], held.id)
    return await unit.connection.fetchval(QUERIES["finish"], held.id) is not None


async def forget(unit: Unit, *, days: int, limit: int) -> int:
    done = await unit.connection.execute(QUERIES["forget"], days, limit)
    return int(done.rpartition(" ")[2])


def _selected() -> AnySelect:
    return select(
        _jobs.id,
        _jobs.project_id,
        _jobs.session_id,
        _jobs.marks,
        _jobs.bytes_read,
        _jobs.created_at,
        _jobs.finished_at,
    )


def _verification(record: asyncpg.Record) -> Verification:
    state = "running" if record["finished_at"] is None else "done"
    return Verification(**dict(record.items()), state=state)


async def _counted(connection: Connection, there: list[Verification]) -> list[Verification]:
    counts: dict[UUID, dict[str, dict[str, int]]] = {
        one.id: {"snapshots": {}, "packs": {}} for one in there
    }
    total: dict[UUID, int] = dict.fromkeys(counts, 0)
    for record in await connection.fetch(QUERIES["counts"], list(counts)):
        counts[record["verification_id"]][record["of"]][record["outcome"]] = record["count"]
        total[record["verification_id"]] += record["findings"]
    return [msgspec.structs.replace(one, findings=total[one.id], **counts[one.id]) for one in there]
