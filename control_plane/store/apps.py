"""Apps, and the agents that managers offer."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec

from chassis.errors import Stale
from chassis.ids import new_id
from contracts.errors import Code
from contracts.projects import App
from contracts.runs import RunLimits
from control_plane.store.database import Connection, Unit
from sql.named import load as load_queries

QUERIES = load_queries("apps")

_decode = msgspec.json.Decoder(dict[str, str]).decode


async def agent_of(connection: Connection, *, project_id: UUID, app_id: UUID) -> str | None:
    agent: str | None = await connection.fetchval(QUERIES["agent"], project_id, app_id)
    return agent


async def offers(connection: Connection) -> Sequence[dict[str, str]]:
    """One a manager: what is missing, by agent."""
    return [_decode(record["agents"]) for record in await connection.fetch(QUERIES["offers"])]


async def insert(
    unit: Unit, *, project_id: UUID, name: str, agent: str, limits: RunLimits | None
) -> UUID:
    """Raises Stale `conflict` where the project has an app of this name."""
    app_id = new_id()
    text = "{}" if limits is None else msgspec.json.encode(limits).decode()
    try:
        await unit.connection.execute(QUERIES["insert"], app_id, project_id, name, agent, text)
    except asyncpg.UniqueViolationError as error:
        raise Stale(Code.CONFLICT, f"name: there is an app called {name}", field="name") from error
    return app_id


async def listed(connection: Connection, projects: Sequence[UUID]) -> list[App]:
    records = await connection.fetch(QUERIES["listed"], list(projects))
    return [_app(record) for record in records]


def _app(record: asyncpg.Record) -> App:
    fields = dict(record.items())
    limits = fields["limits"]
    fields["limits"] = None if limits == "{}" else msgspec.json.decode(limits)
    return msgspec.convert(fields, App)
