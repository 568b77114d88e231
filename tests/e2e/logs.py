"""The log as clients are given it: whole, once, in order. For stacks whose database is not ours."""

from typing import Any
from uuid import UUID

import msgspec

from contracts.events import LogEntry
from tests.e2e.cases import Scene
from tests.system.oracle import Row, attempts_are_current, ends_are_final, text_is_told_once


async def told_right(scene: Scene) -> None:
    """V1 to V4 and V8: each run ended or waits, its stream was what the log has."""
    for session in scene.visitor.sessions:
        rows = [_row(entry) for entry in await scene.api.log(f"/api/v1/sessions/{session}")]
        assert [row.seq for row in rows] == list(range(1, len(rows) + 1)), "V3: the log has a gap"
        attempts_are_current(rows)
        ends_are_final(rows)
        text_is_told_once(rows)
        for run_id in runs_of(scene, session):
            expected = [row.seq for row in rows if row.run_id == run_id]
            shadow = scene.visitor.shadows[run_id]
            await shadow.so_many(len(expected))
            seen = [one.entry.seq for one in shadow.seen]
            assert seen == expected, f"V8: of {run_id} a client saw {seen}, the log has {expected}"
            state = (await scene.visitor.run(shadow)).state
            assert state in {"succeeded", "failed", "blocked", "canceled"}, f"V1: {run_id} {state}"


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
