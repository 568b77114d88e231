"""Commands to workers: durable, redelivered until acknowledged, dead with their epoch."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from contracts.commands import AnyCommand
from contracts.managers import WorkerCommand
from control_plane.store.database import Connection, Unit
from sql.named import load

QUERIES = load("commands")

_decode = msgspec.json.Decoder(AnyCommand).decode


async def open_commands(
    connection: Connection, manager_id: UUID, limit: int
) -> list[WorkerCommand]:
    """In the order in which they were given."""
    records = await connection.fetch(QUERIES["open"], manager_id, limit)
    return [
        WorkerCommand(
            worker_id=record["worker_id"],
            epoch=record["epoch"],
            command=_decode(record["payload"]),
        )
        for record in records
    ]


async def done(unit: Unit, command_ids: Sequence[UUID], manager_id: UUID) -> None:
    if command_ids:
        await unit.connection.execute(QUERIES["done"], list(command_ids), manager_id)


async def forget(unit: Unit, *, after: float, limit: int) -> int:
    """How many it deleted; `after` is in seconds."""
    done = await unit.connection.execute(QUERIES["forget"], after, limit)
    return int(done.rpartition(" ")[2])


async def has_open(connection: Connection, worker_id: UUID, kind: str) -> bool:
    return await connection.fetchval(QUERIES["has_open"], worker_id, kind)
