"""`/api/v1/session-workers`: which worker a session has, what it may use, its stop, its removal."""

from uuid import UUID

from litestar import get, patch, post
from litestar.di import NamedDependency
from litestar.exceptions import ValidationException
from litestar.params import FromPath, FromQuery, JSONBody

from chassis.errors import Stale
from contracts.errors import Code
from contracts.managers import StopAnswer
from contracts.session_workers import (
    PatchSessionWorker,
    RemovalRequested,
    RemoveSessionWorker,
    SessionWorker,
    SessionWorkerPage,
    SessionWorkerSettings,
)
from control_plane.domain.access import Action, Principal
from control_plane.routes.policies import READ, READ_SESSION, WRITE_SESSION
from control_plane.routes.ranges import tell_range
from control_plane.routes.wishes import Cursor, Limit, window
from control_plane.services.access import Access
from control_plane.services.session_workers import SessionWorkers
from control_plane.services.workers import Workers


@get("/api/v1/session-workers", opt=READ, tags=["session-workers"])
async def list_session_workers(
    *,
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    session_workers: NamedDependency[SessionWorkers],
    project_id: FromQuery[UUID | None] = None,
    session_id: FromQuery[UUID | None] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> SessionWorkerPage:
    """Without those that were removed."""
    return await session_workers.listed(
        projects=access.projects_for(principal, project_id),
        session_id=session_id,
        window=window(limit, cursor),
    )


@get("/api/v1/session-workers/{session_id:uuid}", opt=READ_SESSION, tags=["session-workers"])
async def get_session_worker(
    session_id: FromPath[UUID], session_workers: NamedDependency[SessionWorkers]
) -> SessionWorker:
    return await session_workers.of_session(session_id)


@patch(
    "/api/v1/session-workers/{session_id:uuid}",
    opt=WRITE_SESSION,
    tags=["session-workers"],
    exception_handlers={ValidationException: tell_range},
)
async def patch_session_worker(
    *,
    session_id: FromPath[UUID],
    data: JSONBody[PatchSessionWorker],
    principal: NamedDependency[Principal],
    session_workers: NamedDependency[SessionWorkers],
) -> SessionWorkerSettings:
    """What the session's container may use, and whether it is kept warm; it is audited.

    A container that is there keeps its limits: new ones are for the next.
    """
    return await session_workers.patch(session_id, data, by=principal.user_id)


@get(
    "/api/v1/session-workers/{session_id:uuid}/settings",
    opt=READ_SESSION,
    tags=["session-workers"],
)
async def get_session_worker_settings(
    session_id: FromPath[UUID], session_workers: NamedDependency[SessionWorkers]
) -> SessionWorkerSettings:
    return await session_workers.settings(session_id)


@post(
    "/api/v1/session-workers/{session_id:uuid}/stop",
    opt=WRITE_SESSION,
    status_code=202,
    tags=["session-workers"],
)
async def stop_session_worker(
    session_id: FromPath[UUID],
    workers: NamedDependency[Workers],
    session_workers: NamedDependency[SessionWorkers],
) -> StopAnswer:
    """Asks it to save and stop; 409 while the session has a live run."""
    granted = await workers.ask_stop_session(session_id)
    if not granted:
        worker = await session_workers.of_session(session_id)
        if worker.current:
            raise Stale(Code.SESSION_BUSY, "the session has a live run; cancel it, or wait")
    return StopAnswer(granted=granted)


@post(
    "/api/v1/session-workers/{session_id:uuid}/remove",
    opt=WRITE_SESSION,
    status_code=202,
    tags=["session-workers"],
)
async def remove_session_worker(
    *,
    session_id: FromPath[UUID],
    data: JSONBody[RemoveSessionWorker],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    project_id_of_path: NamedDependency[UUID],
    workers: NamedDependency[Workers],
) -> RemovalRequested:
    """Deletes container and volume. `force`, for owners: also what is not saved; it is audited."""
    if data.force:
        access.require(principal, Action.MANAGE, project_id_of_path)
    worker_id = await workers.remove(session_id, forced=data.force, by=principal.user_id)
    return RemovalRequested(worker_id=worker_id)


SESSION_WORKER_ROUTES = [
    list_session_workers,
    get_session_worker,
    patch_session_worker,
    get_session_worker_settings,
    stop_session_worker,
    remove_session_worker,
]
