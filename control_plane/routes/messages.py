"""`/api/v1/sessions/{id}/messages`: what a person says in a session becomes its next run."""

from typing import Any
from uuid import UUID

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from contracts.runs import SendMessage
from control_plane.domain.access import Principal
from control_plane.routes.answers import Answers
from control_plane.routes.policies import WRITE_SESSION
from control_plane.routes.wishes import IdempotencyKey, Prefer, ask_of
from control_plane.services.intake import Intake


@post(
    "/api/v1/sessions/{session_id:uuid}/messages",
    opt=WRITE_SESSION,
    status_code=202,
    tags=["messages"],
)
async def send_message(
    *,
    request: Request[Any, Any, Any],
    session_id: FromPath[UUID],
    data: JSONBody[SendMessage],
    principal: NamedDependency[Principal],
    intake: NamedDependency[Intake],
    answers: NamedDependency[Answers],
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response[Any]:
    """`Accept: text/event-stream` streams the run; `Prefer: wait=N` waits for it; else 202."""
    ask = ask_of(request, principal, data, idempotency_key)
    done = await intake.send(ask, data, session_id=session_id, by=principal.user_id)
    return await answers.of(done, prefer)


MESSAGE_ROUTES = [send_message]
