"""Managers and workers: registration, leases, verdicts, and what the loops look for."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from contracts.containers import ContainerOffer
from contracts.disks import DiskMeans
from contracts.managers import Orders
from contracts.workers import WorkerGrant, WorkerState
from control_plane.domain.session_state import WorkerRow
from control_plane.store import containers, egress
from control_plane.store.database import Connection, Unit, row
from control_plane.store.limits import read
from sql.named import load

QUERIES = load("workers")


@dataclass(frozen=True, slots=True)
class ManagerRow:
    incarnation: int
    draining: bool
    """It says so, or an administrator wants it."""
    silent_seconds: float
    """Since its last heartbeat or registration, by the database's clock."""
    containers: ContainerOffer
    """What it grants."""
    wanted_workers: int | None = None
    wanted_warm: int | None = None
    wanted_draining: bool = False

    @property
    def orders(self) -> Orders:
        return Orders(
            max_workers=self.wanted_workers,
            warm=self.wanted_warm,
            draining=self.wanted_draining,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    manager_id: UUID
    released: bool
    superseded: bool
    remove_requested: bool


async def register(
    unit: Unit,
    manager_id: UUID,
    *,
    name: str,
    backend: str,
    max_workers: int,
    agents: str,
    url: str,
    isolation: str,
    offer: str,
    preflight: str,
) -> int:
    """The new incarnation."""
    return await unit.connection.fetchval(
        QUERIES["register_manager"],
        manager_id,
        name,
        backend,
        max_workers,
        agents,
        url,
        isolation,
        offer,
        preflight,
    )


async def manager(connection: Connection, manager_id: UUID) -> ManagerRow | None:
    record = await connection.fetchrow(QUERIES["incarnation"], manager_id)
    if record is None:
        return None
    fields = row(record)
    fields["containers"] = containers.read_offer(fields["containers"])
    return ManagerRow(**fields)


async def held(connection: Connection, manager_id: UUID) -> int:
    """How many current workers it has."""
    return await connection.fetchval(QUERIES["held_workers"], manager_id)


async def offers_agent(connection: Connection, manager_id: UUID, agent: str) -> bool:
    return bool(await connection.fetchval(QUERIES["offers_agent"], manager_id, agent))


async def live_workers(unit: Unit, manager_id: UUID) -> list[WorkerGrant]:
    """Current workers, their tokens left empty."""
    records = await unit.connection.fetch(QUERIES["live_workers"], manager_id)
    policies = [egress.in_force(record["egress"]) for record in records]
    choices = [containers.read(record["container"]) for record in records]
    return [
        WorkerGrant(
            worker_id=record["id"],
            session_id=record["session_id"],
            project_id=record["project_id"],
            epoch=record["epoch"],
            token="",
            limits=read(record["limits"]),
            egress=policy.policy,
            egress_version=policy.version,
            image=choice.image,
            runtime=choice.runtime,
            tier=choice.tier,
        )
        for record, policy, choice in zip(records, policies, choices, strict=True)
    ]


async def renew_tokens(unit: Unit, hashes: Sequence[tuple[UUID, str]]) -> None:
    if hashes:
        ids, tokens = [list(column) for column in zip(*hashes, strict=True)]
        await unit.connection.execute(QUERIES["renew_tokens"], ids, tokens)


async def heartbeat(
    unit: Unit,
    manager_id: UUID,
    *,
    draining: bool,
    answered: Sequence[tuple[UUID, float | None]],
    lease: float,
) -> None:
    """`answered`: workers, and for how many seconds each is idle; None while it is not."""
    await unit.connection.execute(QUERIES["seen"], manager_id, draining)
    if answered:
        ids, idle = [list(column) for column in zip(*answered, strict=True)]
        await unit.connection.execute(QUERIES["renew_leases"], ids, manager_id, lease, idle)


async def standings(connection: Connection, worker_ids: Sequence[UUID]) -> dict[UUID, Standing]:
    records = await connection.fetch(QUERIES["verdicts"], list(worker_ids))
    return {
        record["id"]: Standing(
            manager_id=record["manager_id"],
            released=record["released"],
            superseded=record["superseded"],
            remove_requested=record["remove_requested"],
        )
        for record in records
    }


async def worker(connection: Connection, worker_id: UUID) -> WorkerRow | None:
    record = await connection.fetchrow(QUERIES["worker"], worker_id)
    if record is None:
        return None
    fields = row(record)
    fields["state"] = WorkerState(fields["state"])
    return WorkerRow(**fields)


async def made_of(unit: Unit, worker_id: UUID, image: str) -> None:
    """The id of its container's image."""
    await unit.connection.execute(QUERIES["made_of"], worker_id, image)


async def set_disk(unit: Unit, worker_id: UUID, disk: DiskMeans) -> None:
    await unit.connection.execute(QUERIES["set_disk"], worker_id, disk)


async def latest(connection: Connection, session_id: UUID) -> UUID | None:
    """The session's newest worker that is still there."""
    return await connection.fetchval(QUERIES["latest_worker"], session_id)


async def removed(unit: Unit, worker_id: UUID) -> bool | None:
    """Whether it was asked for by force; None: it was removed before."""
    return await unit.connection.fetchval(QUERIES["removed"], worker_id)


async def stuck(unit: Unit, worker_id: UUID) -> bool:
    """False: that was recorded before, or it is not over."""
    return bool(await unit.connection.fetchval(QUERIES["stuck"], worker_id))


async def request_removals(unit: Unit, worker_ids: Sequence[UUID]) -> None:
    await unit.connection.execute(QUERIES["request_removal"], list(worker_ids))


async def expired(connection: Connection, limit: int) -> list[UUID]:
    return [record["session_id"] for record in await connection.fetch(QUERIES["expired"], limit)]


async def tick(unit: Unit, name: str, *, gap: float, pause: float) -> bool:
    """Records that the loop looked; False while a gap is being waited out."""
    return await unit.connection.fetchval(QUERIES["tick"], name, gap, pause)


async def sessions_and_ids(
    connection: Connection, query: str, *arguments: float
) -> list[tuple[UUID, UUID]]:
    """Of one of `overdue_cancels`, `waiting_too_long`, `overdue_requests`."""
    records = await connection.fetch(QUERIES[query], *arguments)
    return [(record["session_id"], record["id"]) for record in records]


async def headless_lines(connection: Connection, limit: int) -> list[UUID]:
    records = await connection.fetch(QUERIES["headless_lines"], limit)
    return [record["session_id"] for record in records]


async def mark_overdue(unit: Unit, request_ids: Sequence[UUID]) -> list[tuple[UUID, UUID, UUID]]:
    """(request, session, run) of those that were still pending."""
    records = await unit.connection.fetch(QUERIES["mark_overdue"], list(request_ids))
    return [(record["id"], record["session_id"], record["run_id"]) for record in records]


async def forgotten_runs(
    connection: Connection, worker_ids: Sequence[UUID], grace: float
) -> list[tuple[UUID, UUID]]:
    """(session, run) that idle workers were given and do not have."""
    records = await connection.fetch(QUERIES["forgotten_runs"], list(worker_ids), grace)
    return [(record["session_id"], record["id"]) for record in records]
