"""`/api/v1/admin/workspace-verifications`: every byte that committed snapshots need is read."""

from uuid import UUID

from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from contracts.verifications import (
    FindingPage,
    SnapshotOutcome,
    Verification,
    VerificationPage,
    VerifiedSnapshotPage,
    VerifyWorkspaces,
)
from control_plane.domain.access import Principal
from control_plane.routes.policies import ADMINISTRATOR
from control_plane.routes.wishes import Cursor, Limit, window
from control_plane.services.verifications import Verifications

PLACE = "/api/v1/admin/workspace-verifications"


@post(PLACE, opt=ADMINISTRATOR, status_code=202, tags=["admin"])
async def verify_workspaces(
    data: JSONBody[VerifyWorkspaces],
    principal: NamedDependency[Principal],
    verifications: NamedDependency[Verifications],
) -> Response[Verification]:
    """Reads what is committed at this moment: every manifest, and each pack once.

    Damaged snapshots are marked, told in their sessions' logs, and passed over by restores. While
    one of the same scope is under way, the answer is that one. `Location` is where it is seen.
    """
    made = await verifications.create(data, by=principal.user_id)
    return Response(made, headers={"Location": f"{PLACE}/{made.id}"})


@get(PLACE, opt=ADMINISTRATOR, tags=["admin"])
async def list_verifications(
    verifications: NamedDependency[Verifications], limit: Limit = 50, cursor: Cursor = None
) -> VerificationPage:
    return await verifications.listed(window(limit, cursor))


@get(f"{PLACE}/{{verification_id:uuid}}", opt=ADMINISTRATOR, tags=["admin"])
async def get_verification(
    verification_id: FromPath[UUID], verifications: NamedDependency[Verifications]
) -> Verification:
    """Its counts move while it is `running`."""
    return await verifications.get(verification_id)


@get(f"{PLACE}/{{verification_id:uuid}}/snapshots", opt=ADMINISTRATOR, tags=["admin"])
async def list_verified_snapshots(
    *,
    verification_id: FromPath[UUID],
    verifications: NamedDependency[Verifications],
    outcome: FromQuery[SnapshotOutcome | None] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> VerifiedSnapshotPage:
    """With `outcome=damaged`: what cannot be restored whole."""
    return await verifications.snapshots(verification_id, outcome, window(limit, cursor))


@get(f"{PLACE}/{{verification_id:uuid}}/findings", opt=ADMINISTRATOR, tags=["admin"])
async def list_verification_findings(
    *,
    verification_id: FromPath[UUID],
    verifications: NamedDependency[Verifications],
    snapshot_id: FromQuery[UUID | None] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> FindingPage:
    """Each wrong place: which file of which snapshot, where in which object, what was found."""
    return await verifications.findings(verification_id, snapshot_id, window(limit, cursor))


VERIFICATION_ROUTES = [
    verify_workspaces,
    list_verifications,
    get_verification,
    list_verified_snapshots,
    list_verification_findings,
]
