"""A worker's workspace, for whoever brings a ticket: to and from `executor.sock`, as it comes.

Nothing is kept here: what the reader does not take is not read from the executor, and what the
executor does not take is not read from the sender. Which names the caller may not open the ticket
says; it is told to the executor with each request.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from uuid import UUID

import aiohttp
import msgspec
from yarl import URL

from chassis.errors import BerthError, DependencyUnavailable
from chassis.files.sensitive import header_of
from chassis.retelling import LONGEST, problem_in, retold
from chassis.telemetry import traceparent
from contracts.errors import Code
from contracts.tickets import Audience
from contracts.workspace_files import EXECUTOR_WORKSPACE, READS, WITHHELD_HEADER, WRITES
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.executors import Executors
from executor_manager.services.sockets import away, itself, socket_of
from executor_manager.services.tickets import admitted
from executor_manager.services.workers import Workers

PASSED_ON = ("content-type", "if-match", "if-none-match", "range")
"""Of a request's headers."""

MOST_AT_ONCE = 32
CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 60.0
"""Of an executor in the middle of an answer, and of a reader that takes nothing."""

_TIMES = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    operation: str
    query: str
    headers: Mapping[str, str]
    content: AsyncIterator[bytes] | None

    @property
    def audience(self) -> Audience:
        """Raises `method_not_allowed`, `not_found`."""
        call = (self.method, self.operation)
        if call in READS:
            return "workspace.read"
        if call in WRITES:
            return "workspace.write"
        known = any(operation == self.operation for _, operation in READS | WRITES)
        code = Code.METHOD_NOT_ALLOWED if known else Code.NOT_FOUND
        raise BerthError(code, "there is no such call")


class Workspaces:
    def __init__(
        self, *, control_plane: ControlPlane, workers: Workers, executors: Executors
    ) -> None:
        self._control_plane = control_plane
        self._workers = workers
        self._executors = executors
        self._open = 0

    @asynccontextmanager
    async def asked(
        self, worker_id: UUID, *, ticket: str, asked: Asked
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """What was answered, if it is no refusal; raises a `BerthError` for one. The query goes to
        the executor as it is.
        """
        audience = asked.audience
        redeemed = await admitted(self._control_plane, self._workers, worker_id, ticket, {audience})
        socket = socket_of(self._workers, self._executors, worker_id)
        if self._open >= MOST_AT_ONCE:
            how = f"ask again: {MOST_AT_ONCE} files are being read or written here"
            raise DependencyUnavailable("executor_manager", how, retry_after=1)
        self._open += 1
        try:
            async with _called(socket, asked, header_of(redeemed.withheld)) as response:
                if response.status >= 400:
                    raise await _refusal(response)
                yield response
        finally:
            self._open -= 1


@asynccontextmanager
async def _called(
    socket: str, asked: Asked, withheld: str
) -> AsyncGenerator[aiohttp.ClientResponse]:
    headers = {name: asked.headers[name] for name in PASSED_ON if name in asked.headers}
    headers[WITHHELD_HEADER] = withheld
    if (trace := traceparent()) is not None:
        headers["traceparent"] = trace
    place = f"http://executor{EXECUTOR_WORKSPACE}{asked.operation}?{asked.query}"
    try:
        with itself(socket) as path:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(path=path, force_close=True),
                    timeout=_TIMES,
                    auto_decompress=False,
                    skip_auto_headers=["Content-Type"],
                    trust_env=False,
                ) as session,
                session.request(
                    asked.method,
                    URL(place, encoded=True),
                    data=asked.content,
                    headers=headers,
                    allow_redirects=False,
                ) as response,
            ):
                yield response
    except aiohttp.ServerTimeoutError as error:
        raise BerthError(Code.UPSTREAM_TIMEOUT, "the executor does not answer") from error
    except aiohttp.ClientError as error:
        raise away() from error


async def _refusal(response: aiohttp.ClientResponse) -> BerthError:
    body = b""
    while len(body) < LONGEST and (chunk := await response.content.readany()):
        body += chunk
    told = retold(problem_in(body))
    if told is not None:
        return told
    return DependencyUnavailable("executor", f"see its log: it answered {response.status}")
