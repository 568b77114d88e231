"""What a worker's container printed last, for whoever brings a ticket."""

from uuid import UUID

from chassis.errors import BerthError, DependencyUnavailable, NotFound, Stale
from contracts.errors import Code
from contracts.tickets import MOST_LOG_BYTES, Audience
from executor_manager.containers.backend import ContainerBackend
from executor_manager.containers.errors import BackendError, Missing
from executor_manager.services.control_plane import ControlPlane
from executor_manager.services.tickets import admit
from executor_manager.services.workers import Workers

LOGS: Audience = "worker.logs"

MOST_AT_ONCE = 8


class WorkerLogs:
    def __init__(
        self, *, control_plane: ControlPlane, workers: Workers, backend: ContainerBackend
    ) -> None:
        self._control_plane = control_plane
        self._workers = workers
        self._backend = backend
        self._open = 0

    async def last(self, worker_id: UUID, *, ticket: str, size: int) -> bytes:
        """At most `size` bytes; of a worker that has ended too, while its container is there."""
        if not 1 <= size <= MOST_LOG_BYTES:
            expected = f"1 to {MOST_LOG_BYTES}"
            raise BerthError(
                Code.VALIDATION, f"bytes: expected {expected}", field="bytes", expected=expected
            )
        await admit(self._control_plane, self._workers, worker_id, ticket, LOGS)
        worker = self._workers.get(worker_id)
        if worker is None:
            raise NotFound(Code.WORKER_NOT_FOUND, "this worker is not on this host")
        if self._open >= MOST_AT_ONCE:
            how = f"ask again: {MOST_AT_ONCE} logs are being read here"
            raise DependencyUnavailable("executor_manager", how, retry_after=1)
        self._open += 1
        try:
            return (await self._backend.logs(worker.name, size))[-size:]
        except Missing as error:
            raise Stale(Code.WORKER_NOT_RUNNING, "its container is not there") from error
        except BackendError as error:
            raise DependencyUnavailable("container_backend", str(error), retry_after=1) from error
        finally:
            self._open -= 1
