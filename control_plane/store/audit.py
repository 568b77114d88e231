"""The audit table: one row for each action that somebody may have to answer for."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec

from chassis.ids import new_id
from control_plane.store.database import Unit


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
    await unit.connection.execute(
        "INSERT INTO audit (id, project_id, actor, action, target, detail)"
        " VALUES ($1, $2, $3, $4, $5, $6::jsonb)",
        new_id(),
        project_id,
        actor,
        action,
        target,
        msgspec.json.encode(detail).decode(),
    )
