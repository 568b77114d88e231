"""Bytes of a session's worker: a ticket from the control plane, the bytes from the manager. A file
of its workspace, or what its container printed last.

The gateway reaches a manager in no other way, and sends it no key and no identity.
"""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, cast
from uuid import UUID

import aiohttp
from litestar.types import HTTPScope, Receive, Send
from yarl import URL

from chassis.errors import BerthError, DependencyUnavailable
from chassis.logs import get_logger
from chassis.retelling import LONGEST, problem_in, retold
from chassis.telemetry import traceparent
from contracts.errors import Code
from contracts.tickets import (
    MANAGER_WORKER_LOGS,
    MANAGER_WORKSPACE_FILE,
    TICKET_HEADER,
    Audience,
    Ticket,
)
from gateway.admission import Admission
from gateway.downloads import asked_path, asked_size, headers_of, log_headers, query_of
from gateway.exchange import ClientBody, Patience
from gateway.headers import RawHeaders
from gateway.settings import Settings
from gateway.stream import Answer
from gateway.tickets import Tickets

ROUTE = "/api/v1/session-workers/{session_id}/workspace/file"
_PATH = re.compile(rb"/api/v1/session-workers/([0-9a-fA-F-]{36})/(workspace/file|logs)")

_log = get_logger()


@dataclass(frozen=True, slots=True)
class Asked:
    query: str
    """For the manager."""
    headers: Callable[[int | None], RawHeaders]
    """Of the answer, by its length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is read of a worker."""

    route: str
    audience: Audience
    place: str
    asked: Callable[[bytes], Asked]
    """From the query string; raises `validation_failed`."""


def _file(query: bytes) -> Asked:
    path = asked_path(query)
    return Asked(query_of(path), partial(headers_of, path))


def _log_end(query: bytes) -> Asked:
    return Asked(f"bytes={asked_size(query)}", log_headers)


FILE = Reading(route=ROUTE, audience="workspace.read", place=MANAGER_WORKSPACE_FILE, asked=_file)
LOGS = Reading(
    route="/api/v1/session-workers/{session_id}/logs",
    audience="worker.logs",
    place=MANAGER_WORKER_LOGS,
    asked=_log_end,
)


def session_of(raw_path: bytes) -> tuple[UUID, Reading] | None:
    """None: the path is another one."""
    found = _PATH.fullmatch(raw_path)
    try:
        return (UUID(found[1].decode()), LOGS if found[2] == b"logs" else FILE) if found else None
    except ValueError:
        return None


class WorkerBytes:
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
        self,
        session_id: UUID,
        reading: Reading,
        scope: HTTPScope,
        receive: Receive,
        send: Send,
    ) -> None:
        cast("dict[str, Any]", scope)["path_template"] = reading.route
        admitted = await self._admission.admit(scope, send)
        if admitted is None:
            return
        if scope["method"] != "GET":
            raise BerthError(Code.METHOD_NOT_ALLOWED, "a worker's files and log are read with GET")
        asked = reading.asked(scope["query_string"])
        body = ClientBody(receive, 0, self._settings.idle_seconds)
        await body.first()
        patience = Patience()
        answer = Answer(admitted.send, patience, self._settings.idle_seconds)
        watcher = asyncio.create_task(_until_left(body, patience))
        try:
            async with patience:
                patience.extend(self._settings.idle_seconds)
                ticket = await self._tickets.ask(session_id, reading.audience, admitted.caller)
                place = reading.place.format(worker_id=ticket.worker_id)
                url = f"{ticket.manager_url.rstrip('/')}{place}?{asked.query}"
                await self._fetch(url, ticket, asked, scope["state"]["request_id"], answer)
        except aiohttp.ClientError as error:
            _failed(error, answer)
        except TimeoutError:
            _ended(patience, answer)
        finally:
            watcher.cancel()

    async def _fetch(
        self, url: str, ticket: Ticket, asked: Asked, request_id: str, answer: Answer
    ) -> None:
        headers = {TICKET_HEADER: ticket.ticket, "X-Request-ID": request_id}
        if (trace := traceparent()) is not None:
            headers["traceparent"] = trace
        async with self._upstream.get(
            URL(url, encoded=True),
            headers=headers,
            allow_redirects=False,
        ) as response:
            if response.status != 200:
                raise await _refusal(response)
            await answer.relay(response, asked.headers(response.content_length))


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
