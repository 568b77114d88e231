"""A caller's request to a session's worker: let in, with a ticket to the manager that it names, and
not waited for without end.

The gateway reaches a manager in no other way, and sends it no key and no identity.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from litestar.types import HTTPScope, Receive, Send
from yarl import URL

from chassis.errors import BerthError
from chassis.logs import get_logger
from chassis.retelling import LONGEST
from contracts.errors import Code
from contracts.tickets import AskTicket
from gateway import managers
from gateway.admission import Admission, Admitted
from gateway.exchange import ClientBody, Patience
from gateway.settings import Settings
from gateway.stream import Answer
from gateway.tickets import Tickets

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request of a caller who was let in."""

    admitted: Admitted
    body: ClientBody
    patience: Patience
    answer: Answer
    request_id: str
    tickets: Tickets
    upstream: aiohttp.ClientSession

    @asynccontextmanager
    async def answering(self, what: str = "the worker") -> AsyncGenerator[None]:
        """Around all that is asked of managers. Raises `BerthError` for one that is away, late or
        cut, unless the answer has begun: then it is left without its end.
        """
        try:
            async with self.patience:
                yield
        except aiohttp.ClientError as error:
            self._cut(error)
        except TimeoutError:
            self._ended(what)

    @asynccontextmanager
    async def manager(
        self,
        asked: AskTicket,
        method: str,
        place: str,
        *,
        query: str = "",
        content: bytes | AsyncGenerator[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        seconds: float | None = None,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """`seconds` until its answer begins, if not as many as all else. Raises what it refuses,
        and what `Tickets.ask` does.
        """
        ticket = await self.tickets.ask(asked, self.admitted.caller)
        if seconds is not None:
            self.patience.extend(seconds)
        async with self.upstream.request(
            method,
            URL(managers.url_of(ticket, place, query), encoded=True),
            data=content,
            headers={**(headers or {}), **managers.headers_of(ticket, self.request_id)},
            allow_redirects=False,
        ) as response:
            if response.status >= 300 and response.status != 304:
                raise managers.refusal(response.status, await _beginning(response))
            yield response

    def _cut(self, error: aiohttp.ClientError) -> None:
        if not self.answer.started and (told := _told_by(error)) is not None:
            raise told from error
        _log.warning("manager_cut" if self.answer.started else "manager_away", reason=repr(error))
        if not self.answer.started:
            raise managers.away() from error

    def _ended(self, what: str) -> None:
        if self.patience.ending == "late" and not self.answer.started:
            raise BerthError(Code.UPSTREAM_TIMEOUT, f"{what} did not answer in time")
        if self.patience.ending == "late":
            _log.warning("stream_silent")


class Visits:
    def __init__(
        self,
        settings: Settings,
        *,
        admission: Admission,
        tickets: Tickets,
        upstream: aiohttp.ClientSession,
    ) -> None:
        self._idle_seconds = settings.idle_seconds
        self._admission = admission
        self._tickets = tickets
        self._upstream = upstream

    async def admit(
        self, scope: HTTPScope, receive: Receive, send: Send, *, body_bytes: int
    ) -> Visit | None:
        """As `Admission.admit`. No more than `body_bytes` are read."""
        admitted = await self._admission.admit(scope, send)
        if admitted is None:
            return None
        body = ClientBody(receive, body_bytes, self._idle_seconds)
        patience = Patience(body, self._idle_seconds)
        return Visit(
            admitted=admitted,
            body=body,
            patience=patience,
            answer=Answer(admitted.send, patience, self._idle_seconds),
            request_id=scope["state"]["request_id"],
            tickets=self._tickets,
            upstream=self._upstream,
        )


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    body = b""
    while len(body) < LONGEST and (chunk := await response.content.readany()):
        body += chunk
    return body


def _told_by(error: BaseException) -> BerthError | None:
    """What was wrong with a body: the client that sends it on wraps what it raises."""
    inner = error.__cause__ or error.__context__
    if inner is None or isinstance(inner, BerthError):
        return inner
    return _told_by(inner)
