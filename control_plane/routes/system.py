"""`/api/v1/system/…` and `/api/v1/version`."""

from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from chassis.app import VERSION
from contracts.tasks import SystemQueue, SystemWorkers, Version
from control_plane.domain.access import Principal
from control_plane.routes.policies import ANYONE, READ
from control_plane.services.access import Access
from control_plane.services.system import System


@get("/api/v1/system/queue", opt=READ, tags=["system"])
async def get_queue(
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    system: NamedDependency[System],
    project_id: FromQuery[UUID | None] = None,
) -> SystemQueue:
    """Of the projects that the caller may read."""
    return await system.queue(access.projects_for(principal, project_id))


@get("/api/v1/system/worker", opt=READ, tags=["system"])
async def get_workers(
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    system: NamedDependency[System],
    project_id: FromQuery[UUID | None] = None,
) -> SystemWorkers:
    return await system.workers(access.projects_for(principal, project_id))


@get("/api/v1/version", opt=ANYONE, tags=["system"], sync_to_thread=False)
def get_version() -> Version:
    return Version(service="control_plane", version=VERSION)


SYSTEM_ROUTES = [get_queue, get_workers, get_version]
