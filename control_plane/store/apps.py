"""Apps, and the agents that managers offer."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Text, cast, select

from chassis.errors import Stale
from chassis.ids import new_id
from contracts.errors import Code
from contracts.projects import App, AppList
from contracts.runs import AskedLimits
from control_plane.domain.cursors import Window
from control_plane.store.database import Connection, Unit
from control_plane.store.pages import fetch, page
from sql.named import load as load_queries
from sql.tables import apps

QUERIES = load_queries("apps")

_apps = apps.c

_SELECTED = select(
    _apps.id,
    _apps.project_id,
    _apps.name,
    _apps.agent,
    cast(_apps.limits, Text).label("limits"),
    _apps.created_at,
)

_decode = msgspec.json.Decoder(dict[str, str]).decode


async def agent_of(connection: Connection, *, project_id: UUID, app_id: UUID) -> str | None:
    agent: str | None = await connection.fetchval(QUERIES["agent"], project_id, app_id)
    return agent


async def offers(connection: Connection) -> Sequence[dict[str, str]]:
    """One a manager: what is missing, by agent."""
    return [_decode(record["agents"]) for record in await connection.fetch(QUERIES["offers"])]


async def insert(
    unit: Unit, *, project_id: UUID, name: str, agent: str, limits: AskedLimits | None
) -> UUID:
    """Raises Stale `conflict` where the project has an app of this name."""
    app_id = new_id()
    text = "{}" if limits is None else msgspec.json.encode(limits).decode()
    try:
        await unit.connection.execute(QUERIES["insert"], app_id, project_id, name, agent, text)
    except asyncpg.UniqueViolationError as error:
        raise Stale(Code.CONFLICT, f"name: there is an app called {name}", field="name") from error
    return app_id


async def get(connection: Connection, app_id: UUID) -> App:
    """One that there is."""
    (record,) = await fetch(connection, _SELECTED.where(_apps.id == app_id))
    return _app(record)


async def listed(connection: Connection, projects: Sequence[UUID], window: Window) -> AppList:
    items, cursor = await page(
        connection,
        _SELECTED.where(_apps.project_id.in_(projects)),
        key=_apps.id,
        scope=f"apps {sorted(projects)}",
        window=window,
        make=_app,
    )
    return AppList(items=items, next_cursor=cursor)


def _app(record: asyncpg.Record) -> App:
    fields = dict(record.items())
    limits = fields["limits"]
    fields["limits"] = None if limits == "{}" else msgspec.json.decode(limits)
    return msgspec.convert(fields, App)
