"""The audit as owners see it, and the installation's as administrators do."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec
from sqlalchemy import Text, cast, select

from contracts.projects import AuditEntry, AuditPage
from control_plane.domain.cursors import Window
from control_plane.store.database import Connection
from control_plane.store.pages import AnySelect, page
from sql.tables import audit

_audit = audit.c


async def listed(connection: Connection, projects: Sequence[UUID], window: Window) -> AuditPage:
    statement = _selected().where(_audit.project_id.in_(projects))
    return await _page(connection, statement, f"audit {sorted(projects)}", window)


async def of_installation(connection: Connection, window: Window) -> AuditPage:
    statement = _selected().where(_audit.project_id.is_(None))
    return await _page(connection, statement, "audit of the installation", window)


def _selected() -> AnySelect:
    return select(
        _audit.id,
        _audit.project_id,
        _audit.actor,
        _audit.action,
        _audit.target,
        cast(_audit.detail, Text).label("detail"),
        _audit.at,
    )


async def _page(
    connection: Connection, statement: AnySelect, scope: str, window: Window
) -> AuditPage:
    items, cursor = await page(
        connection, statement, key=_audit.id, scope=scope, window=window, make=_entry
    )
    return AuditPage(items=items, next_cursor=cursor)


def _entry(record: asyncpg.Record) -> AuditEntry:
    fields = dict(record.items())
    fields["detail"] = msgspec.json.decode(fields["detail"])
    return msgspec.convert(fields, AuditEntry)
