"""May a worker stop? Decided under its session's stream lock, whoever asks."""

import enum
from uuid import UUID

from chassis.ids import new_id
from contracts.commands import InterruptRun
from contracts.runs import LIVE, RunState
from control_plane.domain import worker_ends
from control_plane.domain.session_state import SessionState
from control_plane.store import commands, workers
from control_plane.store.database import Unit


class Why(enum.Enum):
    IDLE = enum.auto()
    """Nothing runs there: not for a session that is kept warm."""
    ASKED = enum.auto()
    """By a person, for this session."""
    DRAIN = enum.auto()
    """Its host is emptied: a live run is interrupted first."""


class Stop(enum.StrEnum):
    """How the question ended."""

    STOPPING = "stopping"
    BUSY = "busy"
    KEPT_WARM = "kept_warm"
    GONE = "gone"
    """It is not its session's worker any more."""


async def ask_to_stop(unit: Unit, state: SessionState, worker_id: UUID, why: Why) -> Stop:
    """Where it may, it is told to; what changed is for the caller to save."""
    if state.worker is None or state.worker.id != worker_id:
        return Stop.GONE
    run, drain = state.head, why is Why.DRAIN
    if run is not None and run.worker_id == worker_id and run.state in LIVE:
        asked = await commands.has_open(unit.connection, worker_id, "interrupt")
        if drain and not asked:
            state.command(InterruptRun(id=new_id(), run_id=run.id, attempt=run.attempt))
        return Stop.BUSY
    if run is not None and run.state is RunState.QUEUED and not drain:
        # whom its manager can run no longer, another one must be able to claim
        manager_id = state.worker.manager_id
        if await workers.offers_agent(unit.connection, manager_id, run.agent):
            return Stop.BUSY
    elif why is Why.IDLE and state.session.keep_warm:
        return Stop.KEPT_WARM
    worker_ends.ask_to_stop(state)
    return Stop.STOPPING
