"""Terminals and commands of this host's workers, for whoever brings a ticket.

Bytes only: neither what is typed nor what is shown is looked at, and nothing is kept. Whether a
terminal may be written to the ticket says, and the executor holds to it.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

import aiohttp

from chassis.dialling import Dialled, Refused
from chassis.duplex import Closed
from chassis.errors import BerthError, DependencyUnavailable
from chassis.retelling import LONGEST, problem_in, retold
from chassis.telemetry import traceparent
from chassis.websocket import WebSocket
from contracts.errors import Code
from contracts.terminals import EXEC_SECONDS, EXECUTOR_EXEC, EXECUTOR_TTY
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.executors import Executors
from executor_manager.services.sockets import away, itself, socket_of
from executor_manager.services.tickets import admit, admit_for
from executor_manager.services.workers import Workers

MOST_OPEN = 500
MOST_COMMANDS = 64
DIAL_SECONDS = 10.0
"""The executor starts a shell in it."""

_TIMES = aiohttp.ClientTimeout(total=EXEC_SECONDS + 30, sock_connect=3.0)


class Terminals:
    def __init__(
        self, *, control_plane: ControlPlane, workers: Workers, executors: Executors
    ) -> None:
        self._control_plane = control_plane
        self._workers = workers
        self._executors = executors
        self._open = 0
        self._commands = 0

    @asynccontextmanager
    async def opened(
        self, worker_id: UUID, *, ticket: str, query: str
    ) -> AsyncGenerator[WebSocket]:
        """Raises a `BerthError`."""
        audience = await admit_for(
            self._control_plane,
            self._workers,
            worker_id,
            ticket,
            {"terminal.read", "terminal.write"},
        )
        socket = socket_of(self._workers, self._executors, worker_id)
        if self._open >= MOST_OPEN:
            how = f"ask again: {MOST_OPEN} terminals are open on this host"
            raise DependencyUnavailable("executor_manager", how, retry_after=5)
        self._open += 1
        try:
            mode = "write" if audience == "terminal.write" else "read"
            far = await _dialled(socket, _steered(query, mode))
            try:
                yield far
            finally:
                far.abort()
        finally:
            self._open -= 1

    async def run(self, worker_id: UUID, *, ticket: str, body: bytes, content_type: str) -> bytes:
        """The executor's answer as it comes. Raises a `BerthError`."""
        await admit(self._control_plane, self._workers, worker_id, ticket, "terminal.exec")
        socket = socket_of(self._workers, self._executors, worker_id)
        if self._commands >= MOST_COMMANDS:
            how = f"ask again: {MOST_COMMANDS} commands run on this host"
            raise DependencyUnavailable("executor_manager", how, retry_after=1)
        self._commands += 1
        try:
            return await _asked(socket, body, content_type)
        finally:
            self._commands -= 1


def _steered(query: str, mode: str) -> str:
    """Whatever the caller said about it, the ticket decides."""
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=8)
    except ValueError as error:
        expected = "at most 8 fields"
        raise BerthError(
            Code.VALIDATION, f"query: expected {expected}", field="query", expected=expected
        ) from error
    return urlencode([*((name, value) for name, value in fields if name != "mode"), ("mode", mode)])


async def _dialled(socket: str, query: str) -> WebSocket:
    trace = traceparent()
    url = f"http://executor{EXECUTOR_TTY}?{query}"
    try:
        with itself(socket) as path:
            return await Dialled.dial(
                url, headers={"traceparent": trace} if trace else {}, within=DIAL_SECONDS, uds=path
            )
    except Refused as refused:
        raise _told(refused.status, refused.body) from refused
    except TimeoutError as error:
        raise BerthError(Code.UPSTREAM_TIMEOUT, "the executor does not answer") from error
    except (OSError, Closed) as error:
        raise away() from error


async def _asked(socket: str, body: bytes, content_type: str) -> bytes:
    trace = traceparent()
    headers = {"content-type": content_type} | ({"traceparent": trace} if trace else {})
    try:
        with itself(socket) as path:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(path=path, force_close=True),
                    timeout=_TIMES,
                    trust_env=False,
                ) as session,
                session.post(
                    f"http://executor{EXECUTOR_EXEC.path}", data=body, headers=headers
                ) as response,
            ):
                content = await _whole(response)
    except TimeoutError as error:
        raise BerthError(Code.UPSTREAM_TIMEOUT, "the executor does not answer") from error
    except aiohttp.ClientError as error:
        raise away() from error
    if response.status != 200:
        raise _told(response.status, content)
    return content


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    """Raises DependencyUnavailable: no executor of ours says so much."""
    content = bytearray()
    while chunk := await response.content.readany():
        content += chunk
        if len(content) > ANSWER_BYTES:
            raise DependencyUnavailable("executor", "see its log: its answer is too long")
    return bytes(content)


ANSWER_BYTES = 16 * 1024 * 1024
"""Twice a MiB of output; a byte of it may take six in JSON."""


def _told(status: int, body: bytes) -> BerthError:
    told = retold(problem_in(body[:LONGEST]))
    if told is not None:
        return told
    return DependencyUnavailable("executor", f"see its log: it answered {status}")
