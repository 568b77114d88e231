"""Apps, and the agents that managers offer."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Text, cast, select

from chassis.errors import Stale
from chassis.ids import new_id
from contracts.egress import EgressPolicy
from contracts.errors import Code
from contracts.projects import App, AppList, CreateApp
from contracts.runs import AskedLimits, RunLimits
from contracts.runtime_manifests import RuntimeManifest
from control_plane.domain.containers import choice_of
from control_plane.domain.cursors import Window
from control_plane.domain.limits import NONE
from control_plane.store import containers, egress, runtime_manifests
from control_plane.store.database import Connection, Unit
from control_plane.store.limits import kept, read
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
    cast(_apps.worker_limits, Text).label("worker_limits"),
    cast(_apps.egress, Text).label("egress"),
    cast(_apps.container, Text).label("container"),
    cast(_apps.runtime_manifest, Text).label("runtime_manifest"),
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
    unit: Unit,
    data: CreateApp,
    *,
    project_id: UUID,
    policy: EgressPolicy | None,
    manifest: RuntimeManifest | None,
) -> UUID:
    """Raises Stale `conflict` where the project has an app of this name."""
    app_id = new_id()
    with _name_is_free(data.name):
        await unit.connection.execute(
            QUERIES["insert"],
            app_id,
            project_id,
            data.name,
            data.agent,
            _run_limits(data.limits),
            kept(data.worker_limits),
            egress.kept(policy),
            containers.kept(data.container and choice_of(data.container)),
            runtime_manifests.kept(manifest),
        )
    return app_id


async def lock(unit: Unit, app_id: UUID) -> UUID | None:
    """Its project."""
    project: UUID | None = await unit.connection.fetchval(QUERIES["lock"], app_id)
    return project


async def update(unit: Unit, app: App) -> None:
    """Raises Stale `conflict` where the project has another app of this name."""
    with _name_is_free(app.name):
        await unit.connection.execute(
            QUERIES["update"],
            app.id,
            app.name,
            app.agent,
            _run_limits(app.limits),
            kept(app.worker_limits),
            egress.kept(app.egress),
            containers.kept(app.container),
            runtime_manifests.kept(app.runtime_manifest),
        )


@contextmanager
def _name_is_free(name: str) -> Generator[None]:
    try:
        yield
    except asyncpg.UniqueViolationError as error:
        raise Stale(Code.CONFLICT, f"name: there is an app called {name}", field="name") from error


def _run_limits(limits: AskedLimits | RunLimits | None) -> str:
    return "{}" if limits is None else msgspec.json.encode(limits).decode()


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
    own = read(fields["worker_limits"])
    fields["worker_limits"] = None if own == NONE else own
    said = fields["egress"]
    fields["egress"] = None if said == egress.NOTHING_SAID else egress.read(said)
    chosen = containers.read(fields["container"])
    fields["container"] = None if chosen == containers.UNSAID else chosen
    fields["runtime_manifest"] = runtime_manifests.said(fields["runtime_manifest"])
    return msgspec.convert(fields, App)
