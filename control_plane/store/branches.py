"""Branches of conversations: what was before, where one comes off, and what a copy takes over."""

from dataclasses import dataclass
from uuid import UUID

import asyncpg

from contracts.snapshots import SnapshotKind
from control_plane.domain.branches import Cut, Standing, Stretch
from control_plane.domain.transcripts import TOLD
from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("branches")
MOST_STRETCHES = 10_000
"""A session that was rolled back more often tells no more of what was before."""


async def past(connection: Connection, session_id: UUID, *, seq: int, line: int) -> list[Stretch]:
    """What led up to `line`, inclusive, the newest first. `seq`: of which moment of the log."""
    found = await connection.fetch(QUERIES["past"], session_id, seq, line, MOST_STRETCHES)
    return [Stretch(one["session_id"], one["first"], one["last"], one["until"]) for one in found]


async def standing(unit: Unit, session_id: UUID) -> Standing:
    found = await unit.connection.fetchrow(QUERIES["newest"], session_id)
    return Standing(None, None) if found is None else Standing(found["branch"], found["line"])


async def cut_at(unit: Unit, session_id: UUID, snapshot_id: UUID) -> Cut | None:
    """None: the session has no such snapshot. It stays until the transaction ends."""
    found = await unit.connection.fetchrow(QUERIES["snapshot"], snapshot_id, session_id)
    if found is None:
        return None
    kind = SnapshotKind(found["type"])
    run = await unit.connection.fetchrow(QUERIES["run_of"], snapshot_id)
    line = 0 if run is None else run["line_no"]
    on_its_run = kind is SnapshotKind.SIDE or found["run_id"] is not None
    return Cut(
        snapshot_id=snapshot_id,
        session_id=session_id,
        project_id=found["project_id"],
        type=kind,
        parent=found["parent"],
        epoch=found["epoch"],
        seq=line if on_its_run or found["seq"] is None else found["seq"],
        line=line,
        until=None if run is None else await _until(unit, found, run),
        run_id=None if run is None else run["id"],
    )


async def _until(unit: Unit, snapshot: asyncpg.Record, run: asyncpg.Record) -> int | None:
    """None where the run said and did nothing more than what the snapshot has."""
    place: int | None = snapshot["seq"]
    if snapshot["type"] == SnapshotKind.SIDE:
        place = await unit.connection.fetchval(
            QUERIES["last_of_epoch"], snapshot["session_id"], run["id"], snapshot["epoch"]
        )
    elif snapshot["run_id"] is None:
        return None
    if place is None:
        return None
    more = await unit.connection.fetchval(
        QUERIES["told_behind"], snapshot["session_id"], run["id"], place, list(TOLD)
    )
    return place if more or not run["over"] else None


async def insert(
    unit: Unit, cut: Cut, *, session_id: UUID, begins_at: int, by: UUID | None
) -> None:
    """From `begins_at` on, the session's conversation goes on from the cut."""
    await unit.connection.execute(
        QUERIES["insert"],
        session_id,
        begins_at,
        cut.project_id,
        cut.session_id,
        cut.seq,
        cut.line,
        cut.until,
        cut.snapshot_id,
        cut.run_id,
        by,
    )


async def copy_session(
    unit: Unit, session_id: UUID, new_id: UUID, *, title: str | None, by: UUID
) -> None:
    """Its stream must be there."""
    await unit.connection.execute(QUERIES["copy_session"], session_id, new_id, title, by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A snapshot that another one's manifest and packs are named by once more."""

    id: UUID
    session_id: UUID
    run_id: UUID | None = None
    epoch: int = 0
    parent: UUID | None = None
    seq: int | None = None


async def copy_snapshot(unit: Unit, snapshot_id: UUID, copy: Copy) -> None:
    await unit.connection.execute(
        QUERIES["copy_snapshot"],
        snapshot_id,
        copy.id,
        copy.session_id,
        copy.run_id,
        copy.epoch,
        copy.parent,
        copy.seq,
    )


async def open_questions(unit: Unit, session_id: UUID, *, behind: int) -> list[tuple[UUID, UUID]]:
    """Requests and their runs, of runs that stand behind a place in the line."""
    found = await unit.connection.fetch(QUERIES["open_questions"], session_id, behind)
    return [(one["id"], one["run_id"]) for one in found]
