"""Counts of what is queued, running and registered."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from contracts.tasks import SystemManager, SystemQueue, SystemWorkers
from control_plane.store.database import Connection
from sql.named import load as load_queries

QUERIES = load_queries("system")


async def queue(connection: Connection, projects: Sequence[UUID]) -> SystemQueue:
    records = await connection.fetch(QUERIES["queue"], list(projects))
    oldest = {record["state"]: record["oldest"] for record in records}
    return SystemQueue(
        states={record["state"]: record["count"] for record in records},
        oldest_queued_seconds=oldest.get("queued"),
        outbox=await connection.fetchval(QUERIES["outbox"], list(projects)),
    )


async def queued(connection: Connection, *, at_most: int) -> int:
    """Of all projects; counted no further than `at_most`."""
    return await connection.fetchval(QUERIES["queued"], at_most)


async def workers(connection: Connection, projects: Sequence[UUID]) -> SystemWorkers:
    managers = await connection.fetch(QUERIES["managers"])
    counts = await connection.fetch(QUERIES["workers"], list(projects))
    return SystemWorkers(
        managers=[
            msgspec.convert(
                {
                    **dict(record.items()),
                    "agents": msgspec.json.decode(record["agents"]),
                    "isolation": msgspec.json.decode(record["isolation"]),
                },
                SystemManager,
            )
            for record in managers
        ],
        workers={record["state"]: record["count"] for record in counts},
    )
