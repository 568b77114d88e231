"""The socket of a worker's executor, for calls that move bytes."""

import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from uuid import UUID

from chassis.errors import DependencyUnavailable, NotFound, Stale
from contracts.errors import Code
from executor_manager.services.executors import Executors
from executor_manager.services.workers import Stage, Workers


def socket_of(workers: Workers, executors: Executors, worker_id: UUID) -> str:
    """Raises NotFound, Stale `worker_not_running`."""
    worker = workers.get(worker_id)
    if worker is None:
        raise NotFound(Code.WORKER_NOT_FOUND, "this worker is not on this host")
    if worker.stage is not Stage.LIVE:
        how = "send its session a message to start it"
        raise Stale(Code.WORKER_NOT_RUNNING, f"the worker is {worker.stage}: {how}")
    socket = executors.socket(worker)
    if socket is None:
        raise Stale(Code.WORKER_NOT_RUNNING, "the worker is being started")
    return str(socket)


@contextmanager
def itself(socket: str) -> Generator[str]:
    """A path to the very socket: its directory is the session's, and a link in it could lead to
    another session's files.
    """
    try:
        handle = os.open(socket, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise away() from error
    try:
        if not stat.S_ISSOCK(os.fstat(handle).st_mode):
            raise away()
        yield f"/proc/self/fd/{handle}"
    finally:
        os.close(handle)


def away() -> DependencyUnavailable:
    return DependencyUnavailable("executor", "ask again: it may be starting anew", retry_after=1)
