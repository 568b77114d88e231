"""A command in a session's container: a ticket from the control plane, the rest is the manager's.

Neither the command nor what it printed is looked at here.
"""

import asyncio
import re
from typing import Any, cast
from uuid import UUID

import aiohttp
from litestar.datastructures import Headers
from litestar.types import HTTPScope, Receive, Send
from yarl import URL

from chassis.errors import BerthError, DependencyUnavailable
from chassis.logs import get_logger
from chassis.retelling import LONGEST, problem_in, retold
from chassis.telemetry import traceparent
from contracts.errors import Code
from contracts.terminals import EXEC_SECONDS, MANAGER_EXEC
from contracts.tickets import TICKET_HEADER, Ticket
from gateway.admission import Admission
from gateway.exchange import ClientBody, Patience
from gateway.settings import Settings
from gateway.stream import Answer
from gateway.tickets import Tickets

ROUTE = "/api/v1/session-workers/{session_id}/tty/exec"
_PATH = re.compile(rb"/api/v1/session-workers/([0-9a-fA-F-]{36})/tty/exec")

BODY_BYTES = 256 * 1024
ANSWER_SECONDS = EXEC_SECONDS + 40

_log = get_logger()


def session_of(raw_path: bytes) -> UUID | None:
    """None: the path is another one."""
    found = _PATH.fullmatch(raw_path)
    try:
        return UUID(found[1].decode()) if found else None
    except ValueError:
        return None


class Commands:
    def __init__(
        self,
        settings: Settings,
        *,
        admission: Admission,
        tickets: Tickets,
        upstream: aiohttp.ClientSession,
    ) -> None:
        self._settings = settings
        self._admission = admission
        self._tickets = tickets
        self._upstream = upstream

    async def __call__(
        self, session_id: UUID, scope: HTTPScope, receive: Receive, send: Send
    ) -> None:
        cast("dict[str, Any]", scope)["path_template"] = ROUTE
        admitted = await self._admission.admit(scope, send)
        if admitted is None:
            return
        if scope["method"] != "POST":
            raise BerthError(Code.METHOD_NOT_ALLOWED, "a command is run with POST")
        body = ClientBody(receive, BODY_BYTES, self._settings.idle_seconds)
        asked = await _whole(body)
        patience = Patience()
        answer = Answer(admitted.send, patience, self._settings.idle_seconds)
        watcher = asyncio.create_task(_until_left(body, patience))
        try:
            async with patience:
                patience.extend(self._settings.idle_seconds)
                ticket = await self._tickets.ask(session_id, "terminal.exec", admitted.caller)
                patience.extend(ANSWER_SECONDS)
                await self._ask(ticket, asked, scope, answer)
        except aiohttp.ClientError as error:
            _log.warning("manager_cut" if answer.started else "manager_away", reason=repr(error))
            if not answer.started:
                how = "see that it runs, and that gateways reach it at its BERTH_ADVERTISE_URL"
                raise DependencyUnavailable("executor_manager", how) from error
        except TimeoutError:
            if patience.ending == "late" and not answer.started:
                detail = "the command did not answer in time"
                raise BerthError(Code.UPSTREAM_TIMEOUT, detail) from None
        finally:
            watcher.cancel()

    async def _ask(self, ticket: Ticket, asked: bytes, scope: HTTPScope, answer: Answer) -> None:
        place = MANAGER_EXEC.format(worker_id=ticket.worker_id)
        headers = {
            TICKET_HEADER: ticket.ticket,
            "X-Request-ID": scope["state"]["request_id"],
            "Content-Type": Headers.from_scope(scope).get("content-type", ""),
        }
        if (trace := traceparent()) is not None:
            headers["traceparent"] = trace
        async with self._upstream.post(
            URL(f"{ticket.manager_url.rstrip('/')}{place}", encoded=True),
            data=asked,
            headers=headers,
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                raise await _refusal(response)
            await answer.relay(response)


async def _whole(body: ClientBody) -> bytes:
    first = await body.first()
    if first is None or isinstance(first, bytes):
        return first or b""
    return b"".join([part async for part in first])


async def _until_left(body: ClientBody, patience: Patience) -> None:
    await body.departure()
    patience.end("left")


async def _refusal(response: aiohttp.ClientResponse) -> BerthError:
    body = b""
    while len(body) < LONGEST and (chunk := await response.content.readany()):
        body += chunk
    told = retold(problem_in(body))
    if told is None or told.code is Code.TICKET_INVALID:
        how = f"ask again: it answered {response.status}"
        return DependencyUnavailable("executor_manager", how, retry_after=1)
    return told
