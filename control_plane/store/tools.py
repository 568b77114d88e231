"""Calls of the platform's tools: kept once for each key in a run, under its stream's lock."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

from chassis.ids import new_id
from contracts.human_loop import RequestState
from contracts.tasks import TaskState
from contracts.tools import Tool
from control_plane.domain.session_state import AnswerTo, RunRow
from control_plane.domain.task_changes import TaskRow
from control_plane.domain.tools import Call, Said
from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("tools")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownCall:
    id: UUID
    request_id: UUID | None = None
    answer: str | None = None
    """What a call of `ask_user` was given."""
    request_state: RequestState | None = None
    answer_to: AnswerTo | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The worker that a run is on, or somebody over the API."""

    worker_id: UUID | None = None
    user_id: UUID | None = None


async def known(unit: Unit, run_id: UUID, call: Call) -> KnownCall | None:
    record = await unit.connection.fetchrow(QUERIES["known"], run_id, call.tool, call.key)
    if record is None:
        return None
    state, answer_to = record["request_state"], record["answer_to"]
    return KnownCall(
        id=record["id"],
        request_id=record["request_id"],
        answer=record["answer"],
        request_state=None if state is None else RequestState(state),
        answer_to=None if answer_to is None else AnswerTo(answer_to),
    )


async def count(unit: Unit, run_id: UUID) -> int:
    return await unit.connection.fetchval(QUERIES["count"], run_id)


async def record(
    unit: Unit, run: RunRow, call: Call, caller: Caller, *, epoch: int, request_id: UUID | None
) -> KnownCall:
    call_id = new_id()
    await unit.connection.execute(
        QUERIES["record"],
        call_id,
        run.project_id,
        run.session_id,
        run.id,
        call.tool,
        call.key,
        call.words,
        run.attempt,
        epoch,
        caller.worker_id,
        caller.user_id,
        request_id,
    )
    return KnownCall(id=call_id, request_id=request_id)


async def repeat(unit: Unit, call_id: UUID, *, attempt: int) -> None:
    await unit.connection.execute(QUERIES["repeat"], call_id, attempt)


async def answer(unit: Unit, call_id: UUID, words: str) -> None:
    await unit.connection.execute(QUERIES["answer"], call_id, words)


async def said(connection: Connection, run_ids: Sequence[UUID]) -> dict[UUID, list[Said]]:
    """By run, in the order in which it was said last."""
    found: dict[UUID, list[Said]] = {}
    if not run_ids:
        return found
    for row in await connection.fetch(QUERIES["said"], list(run_ids)):
        one = Said(cast("Tool", row["tool"]), row["words"], row["request_id"])
        found.setdefault(row["run_id"], []).append(one)
    return found


async def request_state(connection: Connection, request_id: UUID) -> RequestState:
    return RequestState(await connection.fetchval(QUERIES["request_state"], request_id))


async def last_run(connection: Connection, session_id: UUID) -> UUID | None:
    return await connection.fetchval(QUERIES["last_run"], session_id)


async def task(connection: Connection, task_id: UUID) -> TaskRow | None:
    row = await connection.fetchrow(QUERIES["task"], task_id)
    if row is None:
        return None
    return TaskRow(
        id=row["id"],
        state=TaskState(row["state"]),
        version=row["version"],
        last_run_id=row["last_run_id"],
        last_reason=row["last_reason"],
        summary=row["summary"],
    )
