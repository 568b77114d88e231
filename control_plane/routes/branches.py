"""`/api/v1/sessions/{id}/fork` and `…/rollback`: a session's history as a tree."""

from typing import Any
from uuid import UUID

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from contracts.branches import ForkSession, RollBack
from contracts.sessions import Session
from control_plane.domain.access import Principal
from control_plane.routes.policies import WRITE_SESSION
from control_plane.routes.wishes import IdempotencyKey, ask_of, replayed_headers
from control_plane.services.forks import Forks
from control_plane.services.rollbacks import Rollbacks


@post(
    "/api/v1/sessions/{session_id:uuid}/fork",
    opt=WRITE_SESSION,
    status_code=201,
    tags=["snapshots"],
)
async def fork_session(
    *,
    request: Request[Any, Any, Any],
    session_id: FromPath[UUID],
    data: JSONBody[ForkSession],
    principal: NamedDependency[Principal],
    forks: NamedDependency[Forks],
    idempotency_key: IdempotencyKey = None,
) -> Response[Session]:
    """A new session with this one's files and conversation, as they were at the snapshot."""
    ask = ask_of(request, principal, data, idempotency_key)
    done = await forks.fork(ask, session_id, data, by=principal.user_id)
    headers = {
        "Location": f"/api/v1/sessions/{done.value.id}",
        **replayed_headers(replayed=done.replayed),
    }
    return Response(done.value, headers=headers)


@post(
    "/api/v1/sessions/{session_id:uuid}/rollback",
    opt=WRITE_SESSION,
    status_code=200,
    tags=["snapshots"],
)
async def roll_back_session(
    *,
    request: Request[Any, Any, Any],
    session_id: FromPath[UUID],
    data: JSONBody[RollBack],
    principal: NamedDependency[Principal],
    rollbacks: NamedDependency[Rollbacks],
    idempotency_key: IdempotencyKey = None,
) -> Response[Session]:
    """Refused while a run is live. The worker saves and stops first, which may take a minute."""
    ask = ask_of(request, principal, data, idempotency_key)
    done = await rollbacks.roll_back(ask, session_id, data, by=principal.user_id)
    return Response(done.value, headers=replayed_headers(replayed=done.replayed))


BRANCH_ROUTES = [fork_session, roll_back_session]
