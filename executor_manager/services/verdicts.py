"""What follows from what the control plane says of each worker."""

from dataclasses import dataclass
from functools import partial
from typing import assert_never

from chassis.clock import wall_time
from chassis.logs import get_logger
from contracts.workers import Verdict
from executor_manager.services.duties import Duties, Gravity
from executor_manager.services.retirement import Retirement
from executor_manager.services.workers import Stage, Worker

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    duties: Duties
    retirement: Retirement
    remove_after: float

    def apply(self, worker: Worker, verdict: Verdict) -> None:
        if verdict == "unknown":
            self._unknown(worker)
            return
        worker.unknown = False
        if not worker.setbacks.over:
            return  # the next verdict asks again
        match verdict:
            case "current":
                return
            case "released":
                self._released(worker)
            case "superseded":
                self._superseded(worker)
            case "remove":
                work = partial(self.retirement.remove_by_force, worker)
                self.duties.start(worker, Gravity.REMOVE, work)
            case _:
                assert_never(verdict)

    def _released(self, worker: Worker) -> None:
        if worker.stage is Stage.STOPPED and worker.stopped_at is not None:
            if self._older(worker, self.remove_after):
                work = partial(self.retirement.remove, worker)
                self.duties.start(worker, Gravity.RELEASED, work)
            return
        work = partial(self.retirement.release, worker)
        self.duties.start(worker, Gravity.RELEASED, work)

    def _superseded(self, worker: Worker) -> None:
        # what could not be saved is never deleted by itself: a person decides
        if worker.stage is not Stage.KEPT:
            work = partial(self.retirement.supersede, worker)
            self.duties.start(worker, Gravity.SUPERSEDED, work)

    def _unknown(self, worker: Worker) -> None:
        if not worker.unknown:
            worker.unknown = True
            _log.error(
                "worker_unknown",
                worker=worker.id,
                session=worker.identity.session_id,
                remedy="the control plane does not know it: nothing is done to it",
            )

    @staticmethod
    def _older(worker: Worker, seconds: float) -> bool:
        return wall_time().timestamp() - (worker.stopped_at or 0.0) > seconds
