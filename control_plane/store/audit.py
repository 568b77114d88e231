"""The audit table: one row for each action that somebody may have to answer for."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec

from chassis.ids import new_id
from control_plane.store.database import Unit

INSERT = (
    "INSERT INTO audit (id, project_id, actor, action, target, detail)"
    " VALUES ($1, $2, $3, $4, $5, $6::jsonb)"
)

Action = tuple[str, str, Mapping[str, Any]]
"""What was done, to what, and how."""


async def record(
    unit: Unit,
    project_id: UUID | None,
    *,
    actor: UUID | None,
    action: str,
    target: str,
    detail: Mapping[str, Any],
) -> None:
    """In the transaction of the action itself. No project: it is the installation's."""
    await record_many(unit, project_id, actor=actor, actions=[(action, target, detail)])


async def record_many(
    unit: Unit, project_id: UUID | None, *, actor: UUID | None, actions: Iterable[Action]
) -> None:
    """As `record`, a row for each."""
    rows = [
        (new_id(), project_id, actor, action, target, msgspec.json.encode(detail).decode())
        for action, target, detail in actions
    ]
    await unit.connection.executemany(INSERT, rows)
