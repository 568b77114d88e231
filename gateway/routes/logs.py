"""What the container of a session's worker printed last."""

from typing import Any, cast
from uuid import UUID

from litestar.types import HTTPScope, Receive, Send

from chassis.errors import BerthError
from contracts.errors import Code
from contracts.tickets import MANAGER_WORKER_LOGS, AskTicket
from gateway.downloads import asked_size, log_headers
from gateway.visits import Visits

ROUTE = "/api/v1/session-workers/{session_id}/logs"


class Logs:
    def __init__(self, visits: Visits) -> None:
        self._visits = visits

    async def __call__(
        self, session_id: UUID, scope: HTTPScope, receive: Receive, send: Send
    ) -> None:
        cast("dict[str, Any]", scope)["path_template"] = ROUTE
        visit = await self._visits.admit(scope, receive, send, body_bytes=0)
        if visit is None:
            return
        if scope["method"] != "GET":
            raise BerthError(Code.METHOD_NOT_ALLOWED, "a worker's log is read with GET")
        size = asked_size(scope["query_string"])
        await visit.body.whole()
        asked = AskTicket(session_id=session_id, audience="worker.logs")
        async with (
            visit.answering(),
            visit.manager(asked, "GET", MANAGER_WORKER_LOGS, query=f"bytes={size}") as response,
        ):
            await visit.answer.relay(response, log_headers(response.content_length))
