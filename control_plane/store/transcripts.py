"""Reads a session's past backwards, a page at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from control_plane.domain.branches import Stretch
from control_plane.domain.transcripts import ToldRun
from control_plane.store.database import Connection
from control_plane.store.events import StoredEvent, stored
from sql.named import load

QUERIES = load("transcripts")


@dataclass(frozen=True, slots=True)
class Asked:
    """The run that is to begin."""

    session_id: UUID
    line_no: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Before:
    """A run that stands before it."""

    id: UUID
    line_no: int
    told: ToldRun


@dataclass(frozen=True, slots=True)
class Back:
    """A page of one run's events: the newest first."""

    payloads: list[str]
    before: int
    """The seq that the next page ends at."""
    size: int
    last: bool


async def asked(connection: Connection, run_id: UUID) -> Asked | None:
    found = await connection.fetchrow(QUERIES["asked"], run_id)
    return None if found is None else Asked(found["session_id"], found["line_no"], found["attempt"])


async def told_before(
    connection: Connection, stretch: Stretch, line_no: int, *, rows: int, length: int
) -> list[Before]:
    """`length`: characters of a text at most."""
    found = await connection.fetch(
        QUERIES["told_before"], stretch.session_id, line_no, rows, length, stretch.first
    )
    return [
        Before(
            record["id"],
            record["line_no"],
            ToldRun(
                at=record["created_at"],
                prompt=record["prompt"],
                prompt_length=record["prompt_length"],
                output=record["output"],
                output_length=record["output_length"],
                state=record["state"],
                reason=record["reason"],
                detail=record["detail"],
                cut=stretch.until is not None and record["line_no"] == stretch.last,
            ),
        )
        for record in found
    ]


async def count_before(connection: Connection, stretch: Stretch, line_no: int) -> int:
    return await connection.fetchval(
        QUERIES["count_before"], stretch.session_id, line_no, stretch.first
    )


async def page_back(
    connection: Connection,
    session_id: UUID,
    run_id: UUID,
    *,
    before: int,
    attempt: int,
    kinds: Sequence[str],
    rows: int,
    size: int,
) -> Back:
    """Of attempts before `attempt`."""
    found = await connection.fetch(
        QUERIES["page_back"], session_id, run_id, before, attempt, kinds, rows, size
    )
    if not found:
        return Back([], before, 0, last=True)
    full = len(found) == rows or found[-1]["size_so_far"] >= size
    return Back(
        payloads=[record["payload"] for record in found],
        before=found[-1]["seq"],
        size=int(found[-1]["size_so_far"]),
        last=not full,
    )


async def page_on(
    connection: Connection, stretch: Stretch, *, after: int, kinds: Sequence[str], rows: int
) -> list[StoredEvent]:
    """Of one stretch, the oldest first."""
    found = await connection.fetch(
        QUERIES["page_on"],
        stretch.session_id,
        stretch.first,
        stretch.last,
        after,
        stretch.until,
        kinds,
        rows,
    )
    return [stored(record) for record in found]
