"""One file of a session's workspace: a ticket from the control plane, the bytes from the manager.

The gateway reaches a manager in no other way, and sends it no key and no identity.
"""

import asyncio
import re
from typing import Any, cast
from uuid import UUID

import aiohttp
from litestar.types import HTTPScope, Receive, Send
from yarl import URL

from chassis.auth import IDENTITY_HEADER
from chassis.client import ServiceClient
from chassis.errors import BerthError, CallFailed, DependencyUnavailable
from chassis.logs import get_logger
from chassis.retelling import LONGEST, problem_in, retold
from chassis.telemetry import traceparent
from contracts.errors import Code
from contracts.tickets import ASK_TICKET, MANAGER_WORKSPACE_FILE, TICKET_HEADER, AskTicket, Ticket
from gateway.admission import Admission
from gateway.auth import Caller
from gateway.downloads import asked_path, headers_of, query_of
from gateway.exchange import ClientBody, Patience
from gateway.settings import Settings
from gateway.stream import Answer

ROUTE = "/api/v1/session-workers/{session_id}/workspace/file"
_PATH = re.compile(rb"/api/v1/session-workers/([0-9a-fA-F-]{36})/workspace/file")

_log = get_logger()


def session_of(raw_path: bytes) -> UUID | None:
    """None: the path is another one."""
    found = _PATH.fullmatch(raw_path)
    try:
        return UUID(found[1].decode()) if found else None
    except ValueError:
        return None


class WorkspaceFiles:
    def __init__(
        self,
        settings: Settings,
        *,
        admission: Admission,
        control_plane: ServiceClient,
        upstream: aiohttp.ClientSession,
    ) -> None:
        self._settings = settings
        self._admission = admission
        self._control_plane = control_plane
        self._upstream = upstream

    async def __call__(
        self, session_id: UUID, scope: HTTPScope, receive: Receive, send: Send
    ) -> None:
        cast("dict[str, Any]", scope)["path_template"] = ROUTE
        admitted = await self._admission.admit(scope, send)
        if admitted is None:
            return
        if scope["method"] != "GET":
            raise BerthError(Code.METHOD_NOT_ALLOWED, "a file of a workspace is read with GET")
        path = asked_path(scope["query_string"])
        body = ClientBody(receive, 0, self._settings.idle_seconds)
        await body.first()
        patience = Patience()
        answer = Answer(admitted.send, patience, self._settings.idle_seconds)
        watcher = asyncio.create_task(_until_left(body, patience))
        try:
            async with patience:
                patience.extend(self._settings.idle_seconds)
                ticket = await self._ticket(session_id, admitted.caller)
                await self._fetch(ticket, path, scope["state"]["request_id"], answer)
        except aiohttp.ClientError as error:
            _failed(error, answer)
        except TimeoutError:
            _ended(patience, answer)
        finally:
            watcher.cancel()

    async def _ticket(self, session_id: UUID, caller: Caller) -> Ticket:
        ask = AskTicket(session_id=session_id, audience="workspace.read")
        headers = {IDENTITY_HEADER: caller.identity}
        try:
            return await self._control_plane.call(ASK_TICKET, ask, headers=headers)
        except CallFailed as failure:
            if (told := retold(failure.problem)) is not None:
                raise told from failure
            if failure.kind != "http":
                raise
            how = f"see that it accepts the gateway's service key ({failure.reason})"
            raise DependencyUnavailable("control_plane", how) from failure

    async def _fetch(self, ticket: Ticket, path: bytes, request_id: str, answer: Answer) -> None:
        place = MANAGER_WORKSPACE_FILE.format(worker_id=ticket.worker_id)
        headers = {TICKET_HEADER: ticket.ticket, "X-Request-ID": request_id}
        if (trace := traceparent()) is not None:
            headers["traceparent"] = trace
        async with self._upstream.get(
            URL(f"{ticket.manager_url.rstrip('/')}{place}?{query_of(path)}", encoded=True),
            headers=headers,
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                raise await _refusal(response)
            await answer.relay(response, headers_of(path, response.content_length))


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


def _failed(error: aiohttp.ClientError, answer: Answer) -> None:
    _log.warning("manager_cut" if answer.started else "manager_away", reason=repr(error))
    if not answer.started:
        how = "see that it runs, and that gateways reach it at its BERTH_ADVERTISE_URL"
        raise DependencyUnavailable("executor_manager", how, retry_after=1) from error


def _ended(patience: Patience, answer: Answer) -> None:
    if patience.ending == "late" and not answer.started:
        raise BerthError(Code.UPSTREAM_TIMEOUT, "the worker did not answer in time")
    if patience.ending == "late":
        _log.warning("stream_silent")
