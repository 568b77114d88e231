"""Passes over workers that were asked for: idle ones are stopped, stopped ones removed.

Each decision is taken under its session's stream lock, as those of the loops are: a message that
comes at the same moment stands either before it, and the worker stays, or behind it, and another
worker serves it.
"""

from collections.abc import Sequence

from chassis.telemetry import current_trace_id
from control_plane.domain import worker_ends
from control_plane.domain.jobs import Member, removal
from control_plane.domain.session_state import SessionState
from control_plane.services.stops import Stop, Why, ask_to_stop
from control_plane.store import jobs, workers
from control_plane.store.database import Unit
from control_plane.store.session_states import Loaded

PINNED = "pinned"


async def stop_idle(unit: Unit, loaded: Loaded, members: Sequence[Member]) -> dict[int, str]:
    """Outcomes by member; what changed is for the caller to save."""
    return {
        member.id: await _stop_one(unit, loaded.states[member.session_id], member)
        for member in members
    }


async def _stop_one(unit: Unit, state: SessionState, member: Member) -> str:
    worker = state.worker
    if worker is None or member.worker_id != worker.id:
        return Stop.GONE.value
    if worker.pinned:
        # it is kept until it has saved, and tries to without being asked
        return PINNED
    return (await ask_to_stop(unit, state, worker.id, Why.IDLE)).value


async def remove_stopped(unit: Unit, loaded: Loaded, members: Sequence[Member]) -> dict[int, str]:
    """Without force: what is not saved stays where it is."""
    there = await jobs.ended_workers(unit, (m.worker_id for m in members if m.worker_id))
    outcomes: dict[int, str] = {}
    asked = set[object]()
    for member in members:
        worker = there.get(member.worker_id) if member.worker_id else None
        outcome = "removed" if worker is None else removal(worker)
        outcomes[member.id] = outcome
        if worker is None or outcome != "removing":
            continue
        if not worker.remove_requested and worker.id not in asked:
            state = loaded.states[member.session_id]
            state.trace_id = current_trace_id()
            worker_ends.ask_to_remove(state, worker.id, forced=False)
            unit.wakes.managers.add(worker.manager_id)
            asked.add(worker.id)
    removing = [m.worker_id for m in members if m.worker_id in asked and m.worker_id is not None]
    await workers.request_removals(unit, removing)
    return outcomes
