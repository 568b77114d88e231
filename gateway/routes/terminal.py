"""A session's terminals: WebSockets that pass through to the owning manager, as they come.

    client ══ WebSocket ══ gateway ══ WebSocket ══ manager ══ WebSocket ══ executor ── PTY

A ticket opens the way. Nothing is kept here: whoever was cut connects again and finds the terminal
as it is. While one is open its caller is looked at again every so often: a key that was revoked, a
role that was lost and a worker that was superseded end it.
"""

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, cast
from uuid import UUID

from litestar.types import HTTPScope, Receive, Send, WebSocketScope

from chassis.bridge import Bridge, Ending, refuse
from chassis.dialling import Dialled, Refused
from chassis.duplex import Closed
from chassis.errors import BerthError, CallFailed, DependencyUnavailable
from chassis.logs import get_logger
from chassis.rendering import problem_of
from chassis.websocket import WebSocket
from contracts.errors import Code
from contracts.terminals import MANAGER_TTY, CheckTerminal, CloseCode
from contracts.tickets import AskTicket, Ticket
from gateway import managers
from gateway.admission import Admission
from gateway.auth import Caller
from gateway.handshake import Handshake, handshake_of
from gateway.settings import Settings
from gateway.tickets import Tickets

ROUTE = "/api/v1/session-workers/{session_id}/tty"

HANDSHAKE_SECONDS = 15.0
"""For all of it: the key, the ticket, the manager, its executor."""

MOST_FOR_A_KEY = 64
PING_SECONDS = 20.0
SILENCE_SECONDS = 60.0
RECHECK_SECONDS = 5.0
"""Between attempts to look at a caller again while the control plane does not answer."""

FINAL = frozenset({Code.UNAUTHENTICATED, Code.FORBIDDEN, Code.SESSION_NOT_FOUND})
GONE = frozenset({Code.STALE_EPOCH, Code.WORKER_NOT_RUNNING, Code.WORKER_UNREACHABLE})

_log = get_logger()


def refuse_plain(scope: HTTPScope) -> None:
    """Raises: somebody asked without an upgrade."""
    cast("dict[str, Any]", scope)["path_template"] = ROUTE
    raise BerthError(Code.VALIDATION, "a terminal is a WebSocket: send Upgrade: websocket")


class Terminals:
    def __init__(self, settings: Settings, *, admission: Admission, tickets: Tickets) -> None:
        self._settings = settings
        self._admission = admission
        self._tickets = tickets
        self._open: Counter[str] = Counter()
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Whoever is connected is told to come back."""
        self._stopping.set()

    async def __call__(
        self, session_id: UUID, scope: WebSocketScope, receive: Receive, send: Send
    ) -> None:
        cast("dict[str, Any]", scope)["path_template"] = ROUTE
        await receive()  # what announces it
        handshake: Handshake | None = None
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(HANDSHAKE_SECONDS):
                    handshake = handshake_of(scope, self._settings.cors_origins)
                    caller = await self._admission.known(handshake.headers)
                    held.enter_context(self._room(caller))
                    asked, far = await self._opened(
                        session_id, handshake, caller, scope["state"]["request_id"]
                    )
                    held.callback(far.abort)
            except BerthError as error:
                await _refuse(send, error, handshake)
                return
            except (TimeoutError, CallFailed) as error:
                _log.warning("terminal_not_opened", reason=repr(error))
                late = BerthError(Code.UPSTREAM_TIMEOUT, "the terminal did not answer in time")
                await _refuse(send, late, handshake)
                return
            await self._pass(Bridge(receive, send, far), send, far, handshake, asked)

    async def _pass(
        self, bridge: Bridge, send: Send, far: WebSocket, handshake: Handshake, asked: CheckTerminal
    ) -> None:
        await send(
            {"type": "websocket.accept", "subprotocol": handshake.subprotocol, "headers": []}
        )
        ending = await bridge.run(
            self._until_refused(handshake, asked), self._until_stopping(), _until_silent(far)
        )
        _log.info("terminal_left", session=asked.session_id, code=ending.code)

    @contextmanager
    def _room(self, caller: Caller) -> Generator[None]:
        """Counted from here on: of many that come at once none slips through. Raises
        `BerthError`.
        """
        if self._open[caller.key_id] >= MOST_FOR_A_KEY:
            detail = f"this key has {MOST_FOR_A_KEY} terminals open here: close one"
            raise BerthError(Code.RATE_LIMITED, detail, retry_after=5)
        if self._open.total() >= self._settings.most_terminals:
            how = f"try again: {self._settings.most_terminals} terminals are open here"
            raise DependencyUnavailable("gateway", how, retry_after=5)
        self._open[caller.key_id] += 1
        try:
            yield
        finally:
            self._open -= Counter({caller.key_id: 1})

    async def _opened(
        self, session_id: UUID, handshake: Handshake, caller: Caller, request_id: str
    ) -> tuple[CheckTerminal, WebSocket]:
        ticket, writes = await self._ticket(session_id, handshake, caller)
        far = await _dialled(ticket, handshake.query, request_id)
        asked = CheckTerminal(session_id=session_id, worker_id=ticket.worker_id, writes=writes)
        return asked, far

    async def _ticket(
        self, session_id: UUID, handshake: Handshake, caller: Caller
    ) -> tuple[Ticket, bool]:
        """And whether it is one to write."""
        if handshake.mode != "read":
            write = AskTicket(session_id=session_id, audience="terminal.write")
            try:
                return await self._tickets.ask(write, caller), True
            except BerthError as error:
                if handshake.mode == "write" or error.code is not Code.FORBIDDEN:
                    raise
        read = AskTicket(session_id=session_id, audience="terminal.read")
        return await self._tickets.ask(read, caller), False

    async def _until_refused(self, handshake: Handshake, asked: CheckTerminal) -> Ending:
        every = self._settings.terminal_check_seconds
        loop = asyncio.get_running_loop()
        answered_at = loop.time()
        pause = every
        while True:
            await asyncio.sleep(pause)
            try:
                caller = await self._admission.still_known(handshake.headers)
                await self._tickets.check(asked, caller)
            except (BerthError, CallFailed) as error:
                if (ending := _final(error)) is not None:
                    return ending
                if loop.time() - answered_at > 2 * every:
                    return Ending(CloseCode.UNAVAILABLE, "the control plane does not answer")
                pause = min(RECHECK_SECONDS, every)
            else:
                answered_at, pause = loop.time(), every

    async def _until_stopping(self) -> Ending:
        await self._stopping.wait()
        return Ending(CloseCode.RESTARTING, "the gateway restarts: connect again")


async def _until_silent(far: WebSocket) -> Ending:
    await far.keep(every=PING_SECONDS, within=SILENCE_SECONDS)
    return Ending(CloseCode.BROKEN, "the worker's host does not answer")


async def _dialled(ticket: Ticket, query: str, request_id: str) -> WebSocket:
    url = managers.url_of(ticket, MANAGER_TTY, query)
    headers = managers.headers_of(ticket, request_id)
    try:
        return await Dialled.dial(url, headers=headers, within=HANDSHAKE_SECONDS)
    except Refused as refused:
        raise managers.refusal(refused.status, refused.body) from refused
    except (OSError, Closed) as error:
        raise managers.away() from error


async def _refuse(send: Send, error: BerthError, handshake: Handshake | None) -> None:
    if handshake is None or not handshake.from_browser:
        await refuse(send, error)
        return
    code = 4000 + problem_of(error).status
    reason = f"{error.code}: {error.detail}".encode()[:123].decode(errors="ignore")
    await send({"type": "websocket.accept", "subprotocol": handshake.subprotocol, "headers": []})
    await send({"type": "websocket.close", "code": code, "reason": reason})


def _final(error: BerthError | CallFailed) -> Ending | None:
    """None: it says nothing of this caller."""
    if not isinstance(error, BerthError):
        return None
    if error.code in FINAL:
        code = 4000 + problem_of(error).status
        return Ending(code, error.detail)
    if error.code in GONE:
        return Ending(CloseCode.WORKER_GONE, error.detail)
    return None
