"""Bytes of a worker's workspace, for whoever brings a ticket: from `executor.sock`, as they come.

Nothing is kept here: what the reader does not take is not read from the executor.
"""

import os
import stat
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from uuid import UUID

import aiohttp
from yarl import URL

from chassis.errors import BerthError, DependencyUnavailable, NotFound, Stale
from chassis.retelling import LONGEST, problem_in, retold
from chassis.telemetry import traceparent
from contracts.errors import Code
from contracts.executors import WORKSPACE_FILE
from contracts.tickets import Audience
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.executors import Executors
from executor_manager.services.tickets import admit
from executor_manager.services.workers import Stage, Workers

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
        socket = self._socket(worker_id)
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

    def _socket(self, worker_id: UUID) -> str:
        worker = self._workers.get(worker_id)
        if worker is None:
            raise NotFound(Code.WORKER_NOT_FOUND, "this worker is not on this host")
        if worker.stage is not Stage.LIVE:
            how = "send its session a message to start it"
            raise Stale(Code.WORKER_NOT_RUNNING, f"the worker is {worker.stage}: {how}")
        socket = self._executors.socket(worker)
        if socket is None:
            raise Stale(Code.WORKER_NOT_RUNNING, "the worker is being started")
        return str(socket)


@asynccontextmanager
async def _asked(socket: str, query: str) -> AsyncGenerator[aiohttp.ClientResponse]:
    trace = traceparent()
    headers = {"traceparent": trace} if trace else {}
    url = URL(f"http://executor{WORKSPACE_FILE}?{query}", encoded=True)
    try:
        with _itself(socket) as path:
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
        raise _away() from error


@contextmanager
def _itself(socket: str) -> Generator[str]:
    """A path to the very socket: its directory is the session's, and a link in it could lead to
    another session's files.
    """
    try:
        handle = os.open(socket, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise _away() from error
    try:
        if not stat.S_ISSOCK(os.fstat(handle).st_mode):
            raise _away()
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def _away() -> DependencyUnavailable:
    return DependencyUnavailable("executor", "ask again: it may be starting anew", retry_after=1)


async def _refusal(response: aiohttp.ClientResponse) -> BerthError:
    body = b""
    while len(body) < LONGEST and (chunk := await response.content.readany()):
        body += chunk
    told = retold(problem_in(body))
    if told is not None:
        return told
    return DependencyUnavailable("executor", f"see its log: it answered {response.status}")
