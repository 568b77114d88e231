"""`/api/v1/audit`: for owners."""

from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from contracts.projects import AuditPage
from control_plane.domain.access import Action, Principal
from control_plane.routes.policies import MANAGE
from control_plane.routes.wishes import Cursor, Limit, window
from control_plane.services.access import Access
from control_plane.services.audit import Audit


@get("/api/v1/audit", opt=MANAGE, tags=["audit"])
async def list_audit(
    *,
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    audit: NamedDependency[Audit],
    project_id: FromQuery[UUID | None] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> AuditPage:
    """Of one project that the caller owns, else of all of them."""
    projects = access.projects_for(principal, project_id, Action.MANAGE)
    return await audit.listed(projects, window(limit, cursor))


AUDIT_ROUTES = [list_audit]
