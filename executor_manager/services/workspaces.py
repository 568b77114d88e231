"""Bytes of a worker's workspace, for whoever brings a ticket: from `executor.sock`, as they come.

Nothing is kept here: what the reader does not take is not read from the executor.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from uuid import UUID

import aiohttp
from yarl import URL

from chassis.errors import BerthError, DependencyUnavailable
from chassis.retelling import LONGEST, problem_in, retold
from chassis.telemetry import traceparent
from contracts.errors import Code
from contracts.executors import WORKSPACE_FILE
from contracts.tickets import Audience
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.executors import Executors
from executor_manager.services.sockets import away, itself, socket_of
from executor_manager.services.tickets import admit
from executor_manager.services.workers import Workers

READ: Audience = "workspace.read"

MOST_AT_ONCE = 32
CONNECT_SECONDS = 3.0
SILENCE_SECONDS = 60.0
"""Of an executor in the middle of an answer, and of a reader that takes nothing."""

_TIMES = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)


class Workspaces:
    def __init__(
        self, *, control_plane: ControlPlane, workers: Workers, executors: Executors
    ) -> None:
        self._control_plane = control_plane
        self._workers = workers
        self._executors = executors
        self._open = 0

    @asynccontextmanager
    async def file(
        self, worker_id: UUID, *, ticket: str, query: str
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """A 200; raises a `BerthError` for anything else. `query` goes to the executor as it is."""
        await admit(self._control_plane, self._workers, worker_id, ticket, READ)
        socket = socket_of(self._workers, self._executors, worker_id)
        if self._open >= MOST_AT_ONCE:
            how = f"ask again: {MOST_AT_ONCE} files are being read here"
            raise DependencyUnavailable("executor_manager", how, retry_after=1)
        self._open += 1
        try:
            async with _asked(socket, query) as response:
                if response.status != 200:
                    raise await _refusal(response)
                yield response
        finally:
            self._open -= 1


@asynccontextmanager
async def _asked(socket: str, query: str) -> AsyncGenerator[aiohttp.ClientResponse]:
    trace = traceparent()
    headers = {"traceparent": trace} if trace else {}
    url = URL(f"http://executor{WORKSPACE_FILE}?{query}", encoded=True)
    try:
        with itself(socket) as path:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(path=path, force_close=True),
                    timeout=_TIMES,
                    auto_decompress=False,
                    trust_env=False,
                ) as session,
                session.get(url, headers=headers, allow_redirects=False) as response,
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
