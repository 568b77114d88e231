"""`/api/v1/admin/…`: for administrators of the installation."""

import re
from typing import Annotated
from uuid import UUID

from litestar import Response, delete, get, patch, put
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody

from chassis.errors import BerthError
from contracts.errors import Code
from contracts.installation import AdministratorPage, AdminManager, AdminManagerPage, PatchManager
from contracts.projects import AuditPage
from control_plane.domain.access import Principal
from control_plane.routes.policies import ADMINISTRATOR
from control_plane.routes.wishes import Cursor, Limit, window
from control_plane.services.installation import Installation

IfMatch = Annotated[
    str | None,
    HeaderParameter(name="If-Match", description="The `ETag` of what is to be changed."),
]

_TAG = re.compile(r'(?:W/)?"?([1-9][0-9]{0,8})"?')


@get("/api/v1/admin/managers", opt=ADMINISTRATOR, tags=["admin"])
async def list_managers(
    installation: NamedDependency[Installation], limit: Limit = 50, cursor: Cursor = None
) -> AdminManagerPage:
    """Every executor-manager: what it may hold and holds, what it offers, when it was heard of."""
    return await installation.managers(window(limit, cursor))


@get("/api/v1/admin/managers/{manager_id:uuid}", opt=ADMINISTRATOR, tags=["admin"])
async def get_manager(
    manager_id: FromPath[UUID], installation: NamedDependency[Installation]
) -> Response[AdminManager]:
    return _tagged(await installation.manager(manager_id))


@patch("/api/v1/admin/managers/{manager_id:uuid}", opt=ADMINISTRATOR, tags=["admin"])
async def patch_manager(
    *,
    manager_id: FromPath[UUID],
    data: JSONBody[PatchManager],
    principal: NamedDependency[Principal],
    installation: NamedDependency[Installation],
    if_match: IfMatch = None,
) -> Response[AdminManager]:
    """Kept, and in force within a heartbeat, without a restart; audited.

    A drained manager takes nothing new; its workers are saved and released, live runs go on
    elsewhere.
    """
    version = _version(data.expected_version, if_match)
    return _tagged(
        await installation.patch(manager_id, data, version=version, by=principal.user_id)
    )


@get("/api/v1/admin/administrators", opt=ADMINISTRATOR, tags=["admin"])
async def list_administrators(
    installation: NamedDependency[Installation], limit: Limit = 50, cursor: Cursor = None
) -> AdministratorPage:
    return await installation.administrators(window(limit, cursor))


@put(
    "/api/v1/admin/administrators/{user_id:uuid}",
    opt=ADMINISTRATOR,
    status_code=204,
    tags=["admin"],
)
async def make_administrator(
    user_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    installation: NamedDependency[Installation],
) -> None:
    """Of managers and limits; what is in projects is their members' all the same."""
    await installation.make_administrator(user_id, by=principal.user_id)


@delete(
    "/api/v1/admin/administrators/{user_id:uuid}",
    opt=ADMINISTRATOR,
    status_code=204,
    tags=["admin"],
)
async def unmake_administrator(
    user_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    installation: NamedDependency[Installation],
) -> None:
    await installation.unmake_administrator(user_id, by=principal.user_id)


@get("/api/v1/admin/audit", opt=ADMINISTRATOR, tags=["admin"])
async def list_installation_audit(
    installation: NamedDependency[Installation], limit: Limit = 50, cursor: Cursor = None
) -> AuditPage:
    """What was done to the installation; projects' own is theirs."""
    return await installation.audit(window(limit, cursor))


def _version(expected: int | None, if_match: str | None) -> int:
    """Raises `validation_failed` where neither says it, or both and not the same."""
    found = _TAG.fullmatch(if_match.strip()) if if_match is not None else None
    tagged = int(found[1]) if found else None
    wanted = {one for one in (expected, tagged) if one is not None}
    if len(wanted) != 1 or (if_match is not None and tagged is None):
        what = "the `version` that was read, or its `ETag` in If-Match"
        raise BerthError(
            Code.VALIDATION,
            f"expected_version: expected {what}",
            field="expected_version",
            expected=what,
        )
    return wanted.pop()


def _tagged(manager: AdminManager) -> Response[AdminManager]:
    return Response(manager, headers={"ETag": f'"{manager.version}"'})


INSTALLATION_ROUTES = [
    list_managers,
    get_manager,
    patch_manager,
    list_administrators,
    make_administrator,
    unmake_administrator,
    list_installation_audit,
]
