"""Compares what runs with what should: dead executors are started again, strangers reported."""

from dataclasses import dataclass, field
from functools import partial

from chassis.logs import get_logger
from contracts.executors import ExecutorPhase
from executor_manager.containers.backend import (
    Container,
    ContainerBackend,
    ContainerState,
    Listing,
)
from executor_manager.containers.errors import BackendError
from executor_manager.metrics import ManagerMetrics
from executor_manager.services.activation import Activation
from executor_manager.services.duties import Duties, Gravity
from executor_manager.services.executors import Executors
from executor_manager.services.retirement import SAVED
from executor_manager.services.workers import Stage, Worker, Workers

_UP = frozenset({ContainerState.RUNNING, ContainerState.PAUSED})

_log = get_logger()


@dataclass(slots=True, kw_only=True)
class SupervisionLoop:
    """Of a backend that is away nothing is known, and nothing is concluded; nor from a list that
    is older than what was done since.
    """

    workers: Workers
    backend: ContainerBackend
    executors: Executors
    duties: Duties
    activation: Activation
    metrics: ManagerMetrics
    _strangers: set[str] = field(default_factory=set[str])

    async def run_once(self) -> None:
        before = {worker.id: worker.staged_at for worker in self._resting()}
        try:
            listing = await self.backend.list()
        except BackendError as error:
            _log.warning("backend_away", reason=error.reason, error=str(error))
            return
        found = {container.name: container for container in listing.containers}
        self._take_in(listing)
        for worker in self._resting():
            if before.get(worker.id) == worker.staged_at:
                self._look_after(worker, found.get(worker.name))
        self._measure()

    def _resting(self) -> list[Worker]:
        """Nothing is being done to them."""
        return [worker for worker in self.workers if not self.duties.busy(worker)]

    def _look_after(self, worker: Worker, container: Container | None) -> None:
        if worker.unknown:
            if container is None:  # somebody removed it
                self.duties.start(worker, Gravity.REMOVE, partial(self._forget, worker))
        elif worker.stage in {Stage.ACTIVATING, Stage.RESTARTING}:
            # its duty was broken off, by a backend that was away
            self.duties.start(worker, Gravity.START, partial(self.activation.adopt, worker))
        elif worker.stage is Stage.LIVE and _gave_up(worker):
            why = worker.status.why if worker.status else ""
            work = partial(self.activation.fail, worker, "executor_failed", why)
            self.duties.start(worker, Gravity.START, work)
        elif worker.stage is Stage.LIVE and not self._as_should_be(worker, container):
            _log.warning("executor_gone", worker=worker.id, epoch=worker.epoch)
            self.duties.start(worker, Gravity.START, partial(self.activation.restart, worker))

    async def _forget(self, worker: Worker) -> None:
        await self.executors.forget(worker)
        self.workers.drop(worker)

    def _as_should_be(self, worker: Worker, container: Container | None) -> bool:
        if container is not None and container.state in _UP:
            return True
        # without a token it is not ours to revive; after its end was saved it may go
        return not worker.token or (worker.status is not None and worker.status.phase in SAVED)

    def _take_in(self, listing: Listing) -> None:
        """Containers of ours that we were not given: listed, so that verdicts come for them."""
        for container in listing.containers:
            if self.workers.get(container.identity.worker_id) is None:
                stage = Stage.LIVE if container.state in _UP else Stage.FAILED
                worker = Worker(identity=container.identity, token="", stage=stage)
                worker.stopped_at = container.stopped_at
                self.executors.at(worker, container.directories.control)
                self.workers.add(worker)
        for stranger in set(listing.strangers) - self._strangers:
            _log.error("stranger_found", place=stranger, remedy="nothing is done to it")
        self._strangers = set(listing.strangers)

    def _measure(self) -> None:
        self.metrics.strangers.set(len(self._strangers))
        self.metrics.stuck.set(sum(worker.setbacks.told for worker in self.workers))
        for stage in Stage:
            count = sum(worker.stage is stage for worker in self.workers)
            self.metrics.workers.labels(stage).set(count)


def _gave_up(worker: Worker) -> bool:
    status = worker.status
    return bool(worker.token) and status is not None and status.phase is ExecutorPhase.FAILED
