"""How a session's worker ends: asked to stop or to go, released, superseded. Pure."""

from uuid import UUID

from chassis.ids import new_id
from contracts.commands import RemoveWorker, StopWorker
from contracts.events import WorkerStopped, WorkerSuperseded
from contracts.workers import WorkerState
from control_plane.domain.session_state import SessionState, WorkerRow


def supersede(state: SessionState, reason: str) -> WorkerRow | None:
    """Ends the current worker's epoch: nothing that it still says changes the session."""
    worker = state.worker
    if worker is None:
        return None
    state.tell(WorkerSuperseded(worker_id=worker.id, epoch=worker.epoch, reason=reason))
    worker.superseded = True
    worker.reason = reason
    state.former_worker, state.worker = worker, None
    return worker


def release(state: SessionState, worker: WorkerRow, snapshot_id: UUID | None) -> None:
    """Saved, committed, stopped: the session may go to any manager."""
    state.tell(WorkerStopped(worker_id=worker.id, snapshot_id=snapshot_id))
    worker.released = True
    worker.state = WorkerState.STOPPED
    state.former_worker, state.worker = worker, None


def ask_to_stop(state: SessionState) -> None:
    if state.worker is not None and not state.worker.stopping:
        state.worker.stopping = True
        state.worker.state = WorkerState.STOPPING
        state.command(StopWorker(id=new_id()))


def ask_to_remove(state: SessionState, worker_id: UUID, *, forced: bool) -> None:
    """For the manager itself; the command outlives the epoch."""
    state.commands.append((worker_id, RemoveWorker(id=new_id(), forced=forced)))
