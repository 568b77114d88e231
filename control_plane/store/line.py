"""Reads around a session's line: what a claim looks for and what a run was asked."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import msgspec

from contracts.containers import ContainerChoice
from contracts.runs import RunLimits, RunState
from contracts.workers import WorkerLimits, WorkerState
from control_plane.domain.claims import Claimant, Payload
from control_plane.domain.egress import InForce
from control_plane.domain.limits import effective
from control_plane.domain.options import StoredOptions
from control_plane.store import containers, egress
from control_plane.store.database import Connection
from control_plane.store.limits import read
from sql.named import load

QUERIES = load("line")


@dataclass(frozen=True, slots=True)
class AskedRun:
    session_id: UUID
    task_id: UUID | None
    state: RunState
    prompt: str
    options: StoredOptions


@dataclass(frozen=True, slots=True)
class GivenRun:
    """What an earlier answer to the same claim held."""

    run_id: UUID
    attempt: int
    session_id: UUID
    project_id: UUID
    worker_id: UUID
    epoch: int
    starting: bool
    limits: WorkerLimits
    egress: InForce
    choice: ContainerChoice
    traceparent: str


async def session_of(connection: Connection, run_id: UUID) -> UUID | None:
    return await connection.fetchval(QUERIES["session_of_run"], run_id)


async def asked(connection: Connection, run_id: UUID) -> AskedRun | None:
    record = await connection.fetchrow(QUERIES["asked"], run_id)
    if record is None:
        return None
    return AskedRun(
        session_id=record["session_id"],
        task_id=record["task_id"],
        state=RunState(record["state"]),
        prompt=record["prompt"],
        options=msgspec.json.decode(record["options"], type=StoredOptions),
    )


async def candidates(
    connection: Connection,
    claimant: Claimant,
    *,
    room: bool,
    limit: int,
    refused: Sequence[str] = (),
) -> list[UUID]:
    """Sessions, best first; a hint: the guard is checked under each one's lock. `refused`: what
    apps say of containers that the manager does not grant.
    """
    records = await connection.fetch(
        QUERIES["candidates"],
        claimant.manager_id,
        list(claimant.agents),
        room,
        limit,
        list(refused),
    )
    return [record["session_id"] for record in records]


async def payloads(connection: Connection, run_ids: Sequence[UUID]) -> dict[UUID, Payload]:
    records = await connection.fetch(QUERIES["payloads"], list(run_ids))
    return {
        record["run_id"]: Payload(
            prompt=record["prompt"],
            options=msgspec.json.decode(record["options"], type=StoredOptions),
            app_limits=_limits(record["app_limits"]),
            traceparent=record["traceparent"],
            worker_limits=effective(
                read(record["own_worker_limits"]), read(record["app_worker_limits"])
            ),
            egress=egress.in_force(record["egress"]),
            choice=containers.read(record["container"]),
        )
        for record in records
    }


def _limits(text: str | None) -> RunLimits | None:
    return msgspec.json.decode(text, type=RunLimits) if text and text != "{}" else None


async def given(connection: Connection, claimant: Claimant) -> list[GivenRun]:
    records = await connection.fetch(QUERIES["claimed"], claimant.claim_id, claimant.manager_id)
    return [
        GivenRun(
            run_id=record["run_id"],
            attempt=record["attempt"],
            session_id=record["session_id"],
            project_id=record["project_id"],
            worker_id=record["worker_id"],
            epoch=record["epoch"],
            starting=record["worker_state"] == WorkerState.CREATING,
            limits=read(record["limits"]),
            egress=egress.in_force(record["egress"]),
            choice=containers.read(record["container"]),
            traceparent=record["traceparent"],
        )
        for record in records
    ]
