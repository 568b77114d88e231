"""How a manager is told where one of its workers stands."""

from uuid import UUID

from contracts.workers import Verdict
from control_plane.store.workers import Standing


def verdict(standing: Standing | None, manager_id: UUID) -> Verdict:
    if standing is None or standing.manager_id != manager_id:
        return "unknown"
    if standing.remove_requested:
        return "remove"
    if standing.superseded:
        return "superseded"
    return "released" if standing.released else "current"
