"""`/api/v1/sessions`: made, read, renamed, archived."""

from typing import Annotated, Any
from uuid import UUID

from litestar import Request, Response, get, patch, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from contracts.sessions import CreateSession, PatchSession, Session, SessionPage, SessionState
from control_plane.domain.access import Action, Principal
from control_plane.routes.policies import READ, READ_SESSION, WRITE, WRITE_SESSION
from control_plane.routes.wishes import (
    Cursor,
    IdempotencyKey,
    Limit,
    ask_of,
    replayed_headers,
    window,
)
from control_plane.services.access import Access
from control_plane.services.intake import Intake
from control_plane.services.sessions import Sessions

State = Annotated[SessionState | None, QueryParameter(name="state")]


@post("/api/v1/sessions", opt=WRITE, status_code=201, tags=["sessions"])
async def create_session(
    *,
    request: Request[Any, Any, Any],
    data: JSONBody[CreateSession],
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    intake: NamedDependency[Intake],
    idempotency_key: IdempotencyKey = None,
) -> Response[Session]:
    project_id = access.project_for(principal, Action.WRITE, data.project_id)
    ask = ask_of(request, principal, data, idempotency_key)
    done = await intake.create_session(ask, data, project_id=project_id, by=principal.user_id)
    headers = {
        "Location": f"/api/v1/sessions/{done.value.id}",
        **replayed_headers(replayed=done.replayed),
    }
    return Response(done.value, headers=headers)


@get("/api/v1/sessions", opt=READ, tags=["sessions"])
async def list_sessions(
    *,
    principal: NamedDependency[Principal],
    access: NamedDependency[Access],
    sessions: NamedDependency[Sessions],
    project_id: FromQuery[UUID | None] = None,
    session_state: State = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> SessionPage:
    projects = access.projects_for(principal, project_id)
    return await sessions.listed(
        projects=projects, state=session_state, window=window(limit, cursor)
    )


@get("/api/v1/sessions/{session_id:uuid}", opt=READ_SESSION, tags=["sessions"])
async def get_session(session_id: FromPath[UUID], sessions: NamedDependency[Sessions]) -> Session:
    return await sessions.get(session_id)


@patch("/api/v1/sessions/{session_id:uuid}", opt=WRITE_SESSION, tags=["sessions"])
async def patch_session(
    *, session_id: FromPath[UUID], data: JSONBody[PatchSession], sessions: NamedDependency[Sessions]
) -> Session:
    return await sessions.patch(session_id, data)


SESSION_ROUTES = [create_session, list_sessions, get_session, patch_session]
