"""`…/sessions/{id}/export` and `…/sessions/import`: a session as one archive, as streams."""

from contextlib import aclosing
from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter

from chassis.errors import BerthError
from contracts.archives import MEDIA_TYPE
from contracts.errors import Code
from contracts.sessions import Session
from control_plane.domain.access import Principal
from control_plane.routes.contents import Content, begun
from control_plane.routes.passing import CallerLeft, RequestBody
from control_plane.routes.policies import OPEN_SESSION, WRITE_PROJECT
from control_plane.routes.wishes import IdempotencyKey, ask_of, replayed_headers
from control_plane.services.exports import Exports
from control_plane.services.imports import Imports

BODY_SECONDS = 60.0
"""For one part of a body to come."""

SnapshotId = Annotated[
    UUID | None, QueryParameter(name="snapshot_id", description="Left out: the head.")
]
ARCHIVE = {
    200: ResponseSpec(
        data_container=bytes, media_type=MEDIA_TYPE, description="A plain tar: contracts/archives"
    )
}


@get(
    "/api/v1/sessions/{session_id:uuid}/export",
    opt=OPEN_SESSION,
    tags=["snapshots"],
    responses=ARCHIVE,
)
async def export_session(
    *,
    session_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    exports: NamedDependency[Exports],
    snapshot_id: SnapshotId = None,
) -> Content:
    """For owners, since files of sensitive names are in it; audited. It may run meanwhile."""
    pieces = await exports.export(session_id, snapshot_id, by=principal.user_id)
    headers = {
        "content-type": MEDIA_TYPE,
        "content-disposition": f'attachment; filename="session-{session_id}.tar"',
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
    return Content(headers=headers, pieces=await begun(pieces))


@post(
    "/api/v1/projects/{project_id:uuid}/sessions/import",
    opt={**WRITE_PROJECT, "takes_bytes": (MEDIA_TYPE,)},
    status_code=201,
    tags=["snapshots"],
)
async def import_session(
    *,
    request: Request[Any, Any, Any],
    project_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    imports: NamedDependency[Imports],
    idempotency_key: IdempotencyKey = None,
) -> Response[Session]:
    """The body is an archive. All of it is proven before anything can be seen; ids are new."""
    _require_tar(request)
    body = RequestBody(request.receive, silence=BODY_SECONDS)
    ask = ask_of(request, principal, None, idempotency_key)
    try:
        async with aclosing(body.parts()) as parts:
            done = await imports.take(ask, parts, project_id=project_id, by=principal.user_id)
    except CallerLeft:
        detail = "the body stopped before its end"
        raise BerthError(Code.VALIDATION, detail, field="body") from None
    headers = {
        "Location": f"/api/v1/sessions/{done.value.id}",
        **replayed_headers(replayed=done.replayed),
    }
    return Response(done.value, headers=headers)


def _require_tar(request: Request[Any, Any, Any]) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != MEDIA_TYPE:
        raise BerthError(
            Code.UNSUPPORTED_MEDIA,
            f"Content-Type: expected {MEDIA_TYPE}",
            field="Content-Type",
            expected=MEDIA_TYPE,
        )


ARCHIVE_ROUTES = [export_session, import_session]
