"""The guard of every manager call: only a manager's newest incarnation is heard."""

from uuid import UUID

from chassis.errors import NotFound, Stale
from contracts.errors import Code
from control_plane.store import workers
from control_plane.store.database import Unit
from control_plane.store.workers import ManagerRow


async def require_incarnation(unit: Unit, manager_id: UUID, incarnation: int) -> ManagerRow:
    """Raises NotFound before a registration, Stale after a newer one."""
    manager = await workers.manager(unit.connection, manager_id)
    if manager is None:
        raise NotFound(Code.NOT_FOUND, f"no manager {manager_id} is registered")
    if manager.incarnation != incarnation:
        raise Stale(
            Code.STALE_INCARNATION,
            f"incarnation {incarnation} was superseded by {manager.incarnation}",
        )
    return manager
