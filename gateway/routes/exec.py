"""A command in a session's container: neither it nor what it printed is looked at here."""

from typing import Any, cast
from uuid import UUID

from litestar.datastructures import Headers
from litestar.types import HTTPScope, Receive, Send

from chassis.errors import BerthError
from contracts.errors import Code
from contracts.terminals import EXEC_SECONDS, MANAGER_EXEC
from contracts.tickets import AskTicket
from gateway.visits import Visits

ROUTE = "/api/v1/session-workers/{session_id}/tty/exec"

BODY_BYTES = 256 * 1024
ANSWER_SECONDS = EXEC_SECONDS + 40


class Commands:
    def __init__(self, visits: Visits) -> None:
        self._visits = visits

    async def __call__(
        self, session_id: UUID, scope: HTTPScope, receive: Receive, send: Send
    ) -> None:
        cast("dict[str, Any]", scope)["path_template"] = ROUTE
        visit = await self._visits.admit(scope, receive, send, body_bytes=BODY_BYTES)
        if visit is None:
            return
        if scope["method"] != "POST":
            raise BerthError(Code.METHOD_NOT_ALLOWED, "a command is run with POST")
        command = await visit.body.whole()
        kind = Headers.from_scope(scope).get("content-type", "")
        async with (
            visit.answering("the command"),
            visit.manager(
                AskTicket(session_id=session_id, audience="terminal.exec"),
                "POST",
                MANAGER_EXEC,
                content=command,
                headers={"Content-Type": kind},
                seconds=ANSWER_SECONDS,
            ) as response,
        ):
            await visit.answer.relay(response)
