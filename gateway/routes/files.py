"""A workspace's files: a ticket from the control plane, the bytes from and to the manager; where no
worker runs, what the control plane has of the last snapshot.

What comes from a workspace an agent wrote: it is shown under headers that make it harmless, and
nothing that the manager says besides goes on.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import quote_from_bytes
from uuid import UUID

import aiohttp
import msgspec
from litestar.datastructures import Headers
from litestar.types import HTTPScope, Receive, Send

from chassis.errors import BerthError, NotFound
from chassis.files.multipart import parts
from chassis.files.previews import INERT, preview_headers
from contracts.errors import Code
from contracts.tickets import AskTicket
from contracts.workspace_files import (
    LIVE,
    MANAGER_WORKSPACE,
    READS,
    SOURCE_HEADER,
    WRITES,
    UploadedFiles,
    WorkspaceEntry,
    WrittenFile,
)
from gateway.asked_files import AskedFiles, Call, asked_in_body, asked_in_query, beneath
from gateway.exchange import ClientBody
from gateway.headers import RawHeaders
from gateway.routes.proxy import Proxy
from gateway.settings import Settings
from gateway.visits import Visit, Visits

ROUTE = "/api/v1/session-workers/{session_id}/workspace/{operation}"

BODY_BYTES = 64 * 1024
"""Of a rename, or of a directory to be made."""
IN_BODY = frozenset({("POST", "rename"), ("POST", "mkdir")})
OF_CONTENT = frozenset({("PUT", "file"), ("POST", "upload")})
FILE: Call = ("PUT", "file")
TAR, MULTIPART = "application/x-tar", "multipart/form-data"
PASSED_ON = ("if-match", "if-none-match", "range")
RETURNED = ("accept-ranges", "content-length", "content-range", "etag", "last-modified")
JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exchange:
    """One request, or one file of an upload."""

    visit: Visit
    session_id: UUID
    call: Call
    asked: AskedFiles
    headers: Headers
    content: bytes | AsyncGenerator[bytes] | None


class Files:
    def __init__(self, settings: Settings, *, visits: Visits, proxy: Proxy) -> None:
        self._most = settings.max_upload_bytes
        self._visits = visits
        self._proxy = proxy

    async def __call__(
        self, session_id: UUID, operation: str, scope: HTTPScope, receive: Receive, send: Send
    ) -> None:
        cast("dict[str, Any]", scope)["path_template"] = ROUTE
        call = _call(scope["method"], operation)
        most = self._most if call in OF_CONTENT else BODY_BYTES
        visit = await self._visits.admit(scope, receive, send, body_bytes=most)
        if visit is None:
            return
        headers = Headers.from_scope(scope)
        if int(headers.get("content-length", "0")) > most:
            raise BerthError(Code.TOO_LARGE, f"a body holds at most {most} bytes here")
        asked, content = await _asked(call, scope["query_string"], visit.body)
        exchange = _Exchange(
            visit=visit,
            session_id=session_id,
            call=call,
            asked=asked,
            headers=headers,
            content=content,
        )
        if not await self._answered(exchange):
            elsewhere = cast("HTTPScope", {**scope, "query_string": asked.elsewhere})
            admitted = visit.admitted
            await self._proxy.pass_admitted(
                elsewhere, None, visit.body, admitted.send, admitted.caller
            )

    async def _answered(self, exchange: _Exchange) -> bool:
        """False: no worker runs, and somebody else has what was asked for."""
        try:
            async with exchange.visit.answering():
                await _served(exchange)
        except BerthError as error:
            if error.code is not Code.WORKER_NOT_RUNNING or exchange.call not in READS:
                raise
            return False
        return True


async def _served(exchange: _Exchange) -> None:
    if exchange.call != ("POST", "upload"):
        await _relayed(exchange)
        return
    kind = exchange.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == TAR:
        await _relayed(exchange)
    elif kind == MULTIPART:
        await _parts(exchange)
    elif not exchange.asked.path:
        detail = f"an upload is {MULTIPART}, {TAR}, or any other with the path of its file"
        raise BerthError(Code.UNSUPPORTED_MEDIA, detail, field="path")
    else:
        await _told(exchange, [await _put(replace(exchange, call=FILE))])


async def _relayed(exchange: _Exchange) -> None:
    async with _asked_manager(exchange) as response:
        await exchange.visit.answer.relay(response, _headers(exchange, response))


async def _parts(exchange: _Exchange) -> None:
    made: list[WorkspaceEntry] = []
    kind = exchange.headers.get("content-type", "")
    async for part in parts(kind, _pieces(exchange.content)):
        asked = beneath(exchange.asked.path, part.name)
        one = replace(exchange, call=FILE, asked=asked, content=part.content())
        made.append(await _put(one))
    await _told(exchange, made)


async def _put(exchange: _Exchange) -> WorkspaceEntry:
    async with _asked_manager(exchange) as response:
        written = msgspec.json.decode(await response.read(), type=WrittenFile)
    return written.entry


async def _told(exchange: _Exchange, made: list[WorkspaceEntry]) -> None:
    size = sum(entry.size for entry in made)
    told = UploadedFiles(items=made, files=len(made), bytes=size)
    await exchange.visit.answer.whole(201, _raw(_own(JSON)), msgspec.json.encode(told))


def _asked_manager(
    exchange: _Exchange,
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    method, operation = exchange.call
    ask = AskTicket(
        session_id=exchange.session_id,
        audience="workspace.read" if exchange.call in READS else "workspace.write",
        operation=operation if method != "DELETE" else "delete",
        paths=[quote_from_bytes(path) for path in exchange.asked.paths],
        beneath=exchange.asked.beneath,
    )
    return exchange.visit.manager(
        ask,
        method,
        MANAGER_WORKSPACE.replace("{operation}", operation),
        query=exchange.asked.query,
        content=exchange.content,
        headers=_passed_on(exchange),
    )


def _call(method: str, operation: str) -> Call:
    """Raises `not_found`, `method_not_allowed`."""
    if (method, operation) in READS | WRITES:
        return (method, operation)
    known = sorted(one for one, other in READS | WRITES if other == operation)
    if not known:
        raise NotFound(Code.NOT_FOUND, "there is nothing under this path")
    raise BerthError(Code.METHOD_NOT_ALLOWED, f"{operation} is asked with {' or '.join(known)}")


async def _asked(
    call: Call, query: bytes, body: ClientBody
) -> tuple[AskedFiles, bytes | AsyncGenerator[bytes] | None]:
    if call in IN_BODY:
        return asked_in_body(call, await body.whole()), None
    asked = asked_in_query(call, query)
    return asked, await body.first()


async def _pieces(content: bytes | AsyncGenerator[bytes] | None) -> AsyncIterator[bytes]:
    if isinstance(content, bytes):
        yield content
    elif content is not None:
        async for piece in content:
            yield piece


def _passed_on(exchange: _Exchange) -> dict[str, str]:
    passed = {name: exchange.headers[name] for name in PASSED_ON if name in exchange.headers}
    return {**passed, "Content-Type": TAR} if exchange.call == ("POST", "upload") else passed


def _headers(exchange: _Exchange, response: aiohttp.ClientResponse) -> RawHeaders:
    """Ours: of the manager's only those that say how much, and which version."""
    kind, path = response.content_type, exchange.asked.path
    if kind == JSON:
        made = _own(JSON)
    elif kind == "application/zip":
        name = (path.rpartition(b"/")[2] or b"workspace") + b".zip"
        made = {**preview_headers(name, inline=False), "content-type": kind}
    else:
        made = preview_headers(path, inline=exchange.asked.inline)
    made[SOURCE_HEADER.lower()] = LIVE
    made |= {name: response.headers[name] for name in RETURNED if name in response.headers}
    return _raw(made)


def _raw(headers: Mapping[str, str]) -> RawHeaders:
    return [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]


def _own(kind: str) -> dict[str, str]:
    return {**INERT, "content-type": kind, SOURCE_HEADER.lower(): LIVE}
