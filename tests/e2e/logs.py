"""What holds of the log after every case: as clients are given it, or as the database has it."""

from typing import Any
from uuid import UUID

import msgspec

from contracts.events import LogEntry
from tests.e2e.cases import Check, Scene
from tests.e2e.stack import Stack
from tests.system.oracle import (
    Row,
    accepted_is_done,
    attempts_are_current,
    ends_are_final,
    log_of,
    logs_have_no_gap,
    shadows_saw_all,
    text_is_told_once,
)


async def told_right(scene: Scene) -> None:
    """V1 to V4 and V8 of a stack whose database is not ours: by its API."""
    for session in scene.visitor.sessions:
        rows = [_row(entry) for entry in await scene.api.log(f"/api/v1/sessions/{session}")]
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1)), "V3: the log has a gap"
        rows_are_right(rows)
        for run_id in runs_of(scene, session):
            expected = [row.seq for row in rows if row.run_id == run_id]
            shadow = scene.visitor.shadows[run_id]
            await shadow.so_many(len(expected))
            seen = [one.entry.seq for one in shadow.seen]
            assert seen == expected, f"V8: of {run_id} a client saw {seen}, the log has {expected}"
            state = (await scene.visitor.run(shadow)).state
            assert state in {"succeeded", "failed", "blocked", "canceled"}, f"V1: {run_id} {state}"


def recorded_right(stack: Stack) -> Check:
    """The same by the database of a stack of ours, of all that it holds."""

    async def check(scene: Scene) -> None:
        await accepted_is_done(stack, scene.visitor)
        logs = {session: await log_of(stack, session) for session in scene.visitor.sessions}
        for rows in logs.values():
            rows_are_right(rows)
        await logs_have_no_gap(stack)
        await shadows_saw_all(scene.visitor, logs)

    return check


def rows_are_right(rows: list[Row]) -> None:
    attempts_are_current(rows)
    ends_are_final(rows)
    text_is_told_once(rows)


def runs_of(scene: Scene, session: UUID) -> list[UUID]:
    return [run.id for run in scene.visitor.runs.values() if run.session_id == session]


def _row(entry: LogEntry) -> Row:
    event: Any = msgspec.to_builtins(entry.event)
    return Row(
        seq=entry.seq,
        kind=event["kind"],
        run_id=entry.run_id,
        attempt=entry.attempt,
        epoch=entry.epoch,
        event=event,
    )
