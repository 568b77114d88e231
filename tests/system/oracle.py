"""What must hold after every case, once the system is quiet again: V1 to V5 and V7 to V10.

`examine` waits for the quiet, then looks at each invariant with the database, the processes of this
host and the object store's files, and with what clients were told.
"""

import asyncio
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import msgspec

from tests.fixtures.deadlines import eventually
from tests.fixtures.stack import LEASE, EmbeddedStack
from tests.system.spools import unsent
from tests.system.trees import Damage, differences, read_manifest
from tests.system.visitor import Visitor

QUIET_WITHIN = LEASE + 30.0
CANARY_WITHIN = 60.0
REPORTED = frozenset(
    {
        "message.delta",
        "message.stop",
        "thought.delta",
        "tool.call",
        "tool.update",
        "tool.result",
        "todo.update",
    }
)
"""Kinds that come from an executor: each belongs to the attempt that was current."""

_RESTLESS = """
SELECT id, state, attempt, failures FROM runs
WHERE state IN ('pending', 'queued', 'claimed', 'running')
   OR state = 'waiting' AND NOT EXISTS (
       SELECT FROM human_loop_requests r WHERE r.run_id = runs.id AND r.state = 'pending')
"""
_TWO_LIVE = """
SELECT session_id FROM runs WHERE state IN ('queued', 'claimed', 'running', 'waiting')
GROUP BY 1 HAVING count(*) > 1
"""
_STUCK_WORKERS = """
SELECT id, state, reason FROM session_workers
WHERE removed_at IS NULL AND superseded_at IS NULL AND released_at IS NULL
  AND (state IN ('creating', 'stopping') OR lease_until < now())
"""


class Records(Protocol):
    """A stack whose database can be asked."""

    async def fetch(self, query: str, *values: object) -> list[asyncpg.Record]: ...

    async def value(self, query: str, *values: object) -> Any: ...


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a session's log."""

    seq: int
    kind: str
    run_id: UUID | None
    attempt: int | None
    epoch: int | None
    event: Any


async def examine(stack: EmbeddedStack, visitor: Visitor) -> None:
    await examine_records(stack, visitor)
    await saved_is_what_stands_there(stack, visitor)
    await spools_are_told(stack)
    await nothing_is_left_over(stack)
    await canary(visitor)


async def examine_records(stack: Records, visitor: Visitor) -> None:
    """What the database and the clients know: V1 to V4, V8, V10."""
    await quiet(stack)
    logs = {session: await log_of(stack, session) for session in visitor.sessions}
    await accepted_is_done(stack, visitor)
    assert not await stack.fetch(_TWO_LIVE), "V2: two live runs in one session"
    for rows in logs.values():
        attempts_are_current(rows)
        ends_are_final(rows)
        text_is_told_once(rows)
    await logs_have_no_gap(stack)
    await shadows_saw_all(visitor, logs)


async def quiet(stack: Records) -> None:
    """V10: within a lease and 30 s nothing is under way any more."""

    async def is_quiet() -> bool:
        restless = await stack.fetch(_RESTLESS)
        outbox = await stack.value("SELECT count(*) FROM outbox")
        stuck = await stack.fetch(_STUCK_WORKERS)
        assert_later.clear()
        assert_later.extend([*map(dict, restless), *map(dict, stuck), {"outbox": outbox}])
        return not restless and not outbox and not stuck

    assert_later: list[dict[str, Any]] = []
    try:
        await eventually(is_quiet, "V10: something is stuck", within=QUIET_WITHIN)
    except AssertionError as error:
        raise AssertionError(f"{error}: {assert_later}") from error


async def log_of(stack: Records, stream: UUID) -> list[Row]:
    rows = await stack.fetch(
        "SELECT seq, kind, run_id, attempt, epoch, payload FROM events WHERE stream_id = $1"
        " ORDER BY seq",
        stream,
    )
    return [
        Row(
            seq=row["seq"],
            kind=row["kind"],
            run_id=row["run_id"],
            attempt=row["attempt"],
            epoch=row["epoch"],
            event=msgspec.json.decode(row["payload"]),
        )
        for row in rows
    ]


async def accepted_is_done(stack: Records, visitor: Visitor) -> None:
    """V1: what was answered 2xx is there, and has ended or waits for a person."""
    rows = await stack.fetch("SELECT id, state FROM runs WHERE id = ANY($1)", [*visitor.runs])
    states = {row["id"]: row["state"] for row in rows}
    assert states.keys() == visitor.runs.keys(), "V1: a run that was acknowledged is lost"
    done = {"succeeded", "failed", "blocked", "canceled", "waiting"}
    assert set(states.values()) <= done, f"V1: {states}"


def attempts_are_current(rows: list[Row]) -> None:
    """V2: nothing of a former attempt or epoch stands behind the mark that ended it."""
    current: dict[UUID, int] = {}
    ended_epoch = 0
    for row in rows:
        if row.kind == "worker.superseded":
            ended_epoch = max(ended_epoch, row.event["epoch"])
        if row.run_id is None or row.attempt is None:
            continue
        known = current.setdefault(row.run_id, 1)
        if row.kind in {"run.retrying", "run.parked"}:
            current[row.run_id] = row.event["next_attempt"]
        elif row.kind == "run.queued":
            current[row.run_id] = row.attempt
        elif row.kind in REPORTED:
            assert row.attempt == known, f"V2: attempt {row.attempt} after {known} began: {row}"
            assert row.epoch is None or row.epoch > ended_epoch, f"V2: of an ended epoch: {row}"


def ends_are_final(rows: list[Row]) -> None:
    """V4: each run is finished once and closed once, and nothing of it follows."""
    closed: set[UUID] = set()
    finished: Counter[UUID] = Counter()
    for row in rows:
        if row.run_id is None:
            continue
        assert row.run_id not in closed, f"V4: after the end: {row}"
        finished[row.run_id] += row.kind == "run.finished"
        if row.kind == "run.closed":
            assert finished[row.run_id] == 1, f"V4: {finished[row.run_id]} ends of {row.run_id}"
            closed.add(row.run_id)


def text_is_told_once(rows: list[Row]) -> None:
    """V3: the pieces of a message are the message: no piece is lost, none stands there twice."""
    pieces: defaultdict[tuple[UUID | None, int | None, str], str] = defaultdict(str)
    for row in rows:
        if row.kind not in {"message.delta", "message.stop"}:
            continue
        key = (row.run_id, row.attempt, row.event["message_id"])
        if row.kind == "message.delta":
            pieces[key] += row.event["text"]
        else:
            assert pieces[key] == row.event["text"], f"V3: pieces of {key} are not the message"
    for text in pieces.values():
        numbers = [int(found) for found in re.findall(r"#(\d+);", text)]
        assert numbers == list(range(1, len(numbers) + 1)), f"V3: numbered pieces: {numbers}"


async def logs_have_no_gap(stack: Records) -> None:
    """V3: every stream is numbered from 1 without a gap, as far as it says itself."""
    wrong = await stack.fetch(
        "SELECT s.id, s.last_seq, count(e.seq), max(e.seq) FROM streams s"
        " LEFT JOIN events e ON e.stream_id = s.id GROUP BY s.id"
        " HAVING count(e.seq) <> s.last_seq OR coalesce(max(e.seq), 0) <> s.last_seq"
    )
    assert not wrong, f"V3: {wrong}"


async def shadows_saw_all(visitor: Visitor, logs: dict[UUID, list[Row]]) -> None:
    """V8: whoever followed a run, cut off as often as it was, saw exactly what the log has."""
    for run_id, shadow in visitor.shadows.items():
        rows = logs[visitor.runs[run_id].session_id]
        expected = [row.seq for row in rows if row.run_id == run_id]
        await shadow.so_many(len(expected))
        seen = [one.entry.seq for one in shadow.seen]
        assert seen == expected, f"V8: of {run_id} a client saw {seen}, the log has {expected}"


async def saved_is_what_stands_there(stack: EmbeddedStack, visitor: Visitor) -> None:
    """V5: each head is whole in the store; an idle worker's tree is the head, file by file."""
    for session in visitor.sessions:
        row = await stack.fetch(
            "SELECT p.manifest_key, p.manifest_sha256, w.id AS worker_id FROM sessions s"
            " JOIN snapshots p ON p.id = s.head_snapshot_id"
            " LEFT JOIN session_workers w ON w.session_id = s.id AND w.state = 'idle'"
            " AND w.superseded_at IS NULL AND w.released_at IS NULL WHERE s.id = $1",
            session,
        )
        if not row:
            continue
        manifest = read_manifest(stack, row[0]["manifest_key"], row[0]["manifest_sha256"])
        worker = row[0]["worker_id"]
        for box in (box for box in stack.boxes() if box.record.worker_id == worker):
            damage: list[Damage]
            try:
                damage = differences(manifest, box.workspace)
            except FileNotFoundError as error:
                damage = [(b"", f"gone meanwhile: {error}")]
            idle = await stack.value(
                "SELECT state = 'idle' FROM session_workers WHERE id = $1", worker
            )
            assert not (damage and idle), f"V5: {session}: its head and its tree differ: {damage}"


async def spools_are_told(stack: EmbeddedStack) -> None:
    """V1: what a worker that was not superseded has reported, the control plane has."""
    idle = "SELECT id FROM session_workers WHERE state = 'idle' AND superseded_at IS NULL"

    async def all_told() -> bool:
        workers = {row["id"] for row in await stack.fetch(idle)}
        boxes = [box for box in stack.boxes() if box.record.worker_id in workers]
        return not [box for box in boxes if await asyncio.to_thread(unsent, box)]

    await eventually(all_told, "V1: a spool is not told")


async def nothing_is_left_over(stack: EmbeddedStack) -> None:
    """V7: processes of no living worker, agents without a run, workers that nobody knows."""

    async def tidy() -> bool:
        rows = await stack.fetch(
            "SELECT id, EXISTS (SELECT FROM runs r WHERE r.worker_id = w.id"
            " AND r.state IN ('claimed', 'running', 'waiting')) AS live FROM session_workers w"
            " WHERE superseded_at IS NULL AND released_at IS NULL AND removed_at IS NULL"
        )
        live = {row["id"]: row["live"] for row in rows}
        kept = {box.record.worker_id: box for box in stack.boxes() if box.kept}
        idle = [box for worker, box in kept.items() if not live.get(worker)]
        left[:] = [
            *(f"worker {worker} of nobody" for worker in kept.keys() - live.keys()),
            *(f"worker {worker} without a process" for worker in live.keys() - kept.keys()),
            *(f"{box.record.worker_id} has {box.processes()}" for box in idle if box.processes()),
            *(f"stray {one}" for one in stack.strays()),
        ]
        return not left

    left: list[str] = []
    try:
        await eventually(tidy, "V7: something is left over", within=30.0)
    except AssertionError as error:
        raise AssertionError(f"{error}: {left}") from error
    held = await stack.fetch(
        "SELECT pid, state, query FROM pg_stat_activity WHERE datname = current_database()"
        " AND state LIKE 'idle in transaction%' AND now() - state_change > interval '5 s'"
    )
    assert not held, f"V7: transactions left open: {held}"


async def canary(visitor: Visitor) -> None:
    """V9: somebody new is served."""
    shadow = await visitor.send("remember NONCE=canary")
    await visitor.succeeded(shadow, within=CANARY_WITHIN)
