"""`/api/v1/sessions/{id}/snapshots`: what can be restored."""

from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath

from contracts.snapshots import SnapshotPage
from control_plane.routes.policies import READ_SESSION
from control_plane.routes.wishes import Cursor, Limit, window
from control_plane.services.snapshots import Snapshots


@get("/api/v1/sessions/{session_id:uuid}/snapshots", opt=READ_SESSION, tags=["snapshots"])
async def list_snapshots(
    session_id: FromPath[UUID],
    snapshots: NamedDependency[Snapshots],
    limit: Limit = 50,
    cursor: Cursor = None,
) -> SnapshotPage:
    return await snapshots.listed(session_id, window(limit, cursor))


SNAPSHOT_ROUTES = [list_snapshots]
