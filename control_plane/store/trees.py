"""Trees that came from outside: their snapshots, and how large they may be."""

from dataclasses import astuple, dataclass
from uuid import UUID

import msgspec

from contracts.workers import WorkerLimits
from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("trees")

_limits = msgspec.json.Decoder(WorkerLimits).decode


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTree:
    """In the order of the statement's parameters."""

    id: UUID
    project_id: UUID
    session_id: UUID
    parent: UUID | None
    epoch: int
    manifest_key: str
    manifest_sha256: str
    files: int
    bytes: int
    new_bytes: int
    added: int
    seq: int


async def insert_snapshot(unit: Unit, new: NewTree) -> None:
    """Behind its event; the head is the session's row's."""
    await unit.connection.execute(QUERIES["insert_snapshot"], *astuple(new))


async def disk_mib(connection: Connection, session_id: UUID) -> int | None:
    """The session's own limit, else its app's. None: the hosts' default, unknown here."""
    record = await connection.fetchrow(QUERIES["limits"], session_id)
    if record is None:
        return None
    own, app = _limits(record["own"]), _limits(record["app"])
    return own.disk_mib if own.disk_mib is not None else app.disk_mib
