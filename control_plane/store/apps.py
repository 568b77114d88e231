"""Apps, and the agents that managers offer."""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from control_plane.store.database import Connection
from sql.named import load as load_queries

QUERIES = load_queries("apps")

_decode = msgspec.json.Decoder(dict[str, str]).decode


async def agent_of(connection: Connection, *, project_id: UUID, app_id: UUID) -> str | None:
    agent: str | None = await connection.fetchval(QUERIES["agent"], project_id, app_id)
    return agent


async def offers(connection: Connection) -> Sequence[dict[str, str]]:
    """One a manager: what is missing, by agent."""
    return [_decode(record["agents"]) for record in await connection.fetch(QUERIES["offers"])]
