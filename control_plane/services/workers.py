"""Session workers' lives: what their managers tell of them, stops, and removals."""

from collections.abc import Sequence
from typing import assert_never
from uuid import UUID

import msgspec

from chassis.auth import hash_token
from chassis.errors import NotFound, Stale
from chassis.failpoints import failpoint
from chassis.telemetry import current_trace_id
from contracts.errors import Code
from contracts.events import AlertRaised, WorkerFailed, WorkerRemoved, WorkerStep
from contracts.managers import AskStop, StartStep, StopAnswer, WorkerChange, WorkerChanged
from contracts.reasons import Reason
from contracts.workers import WorkerState
from control_plane.domain import retries, worker_ends
from control_plane.domain.containers import REASONS
from control_plane.domain.line import Policy
from control_plane.domain.session_state import SessionState, WorkerRow
from control_plane.domain.words import storable
from control_plane.services.incarnation import require_incarnation
from control_plane.services.stops import Stop, Why, ask_to_stop
from control_plane.services.verdicts import verdict
from control_plane.store import audit, session_saves, session_states, workers
from control_plane.store.database import Database, Unit

MAX_IMAGE = 200
NAMED: dict[str, Reason] = {
    **REASONS,
    Reason.OUT_OF_MEMORY: Reason.OUT_OF_MEMORY,
    Reason.DISK_FULL: Reason.DISK_FULL,
}
"""What ends a run for another reason than that its worker did not start."""


class Workers:
    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy

    async def change(
        self, manager_id: UUID, worker_id: UUID, change: WorkerChange
    ) -> WorkerChanged:
        async with self._database.unit() as unit:
            await require_incarnation(unit, manager_id, change.incarnation)
            worker = await workers.worker(unit.connection, worker_id)
            if worker is None or worker.manager_id != manager_id:
                raise NotFound(Code.WORKER_NOT_FOUND, f"there is no worker {worker_id} of yours")
            match change.change:
                case "ready":
                    await self._ready(unit, worker, change)
                case "failed":
                    await self._failed(unit, worker, change)
                case "removed":
                    await self._removed(unit, worker)
                case "stuck":
                    await self._stuck(unit, worker, change)
                case "stopped":
                    pass
                case _:
                    assert_never(change.change)
            standings = await workers.standings(unit.connection, [worker_id])
        return WorkerChanged(verdict=verdict(standings.get(worker_id), manager_id))

    async def _ready(self, unit: Unit, worker: WorkerRow, change: WorkerChange) -> None:
        loaded = await session_states.lock(unit, [worker.session_id])
        state = loaded.states[worker.session_id]
        if state.worker is None or state.worker.id != worker.id:
            return
        if state.worker.state is WorkerState.CREATING:
            state.worker.state = WorkerState.READY
        if change.image:
            await workers.made_of(unit, worker.id, storable(change.image)[:MAX_IMAGE])
        tell_steps(state, change.steps)
        if change.disk is not None:
            await workers.set_disk(unit, worker.id, change.disk)
        await session_saves.save(unit, loaded)

    async def _failed(self, unit: Unit, worker: WorkerRow, change: WorkerChange) -> None:
        """It never became ready, or was lost with its spool: its epoch ends, its run goes on."""
        loaded = await session_states.lock(unit, [worker.session_id])
        state = loaded.states[worker.session_id]
        current = state.worker
        if current is None or current.id != worker.id:
            return
        tell_steps(state, change.steps)
        state.tell(
            WorkerFailed(worker_id=worker.id, reason=change.reason, detail=change.detail),
            project=True,
        )
        detail = storable(f"{change.reason} {change.detail}")
        reason = NAMED.get(change.reason, Reason.WORKER_START_FAILED)
        lose_worker(state, reason, self._policy, detail)
        current.state = WorkerState.FAILED
        await session_saves.save(unit, loaded)

    async def _removed(self, unit: Unit, worker: WorkerRow) -> None:
        """The container and its volume are gone; a current worker's run goes on elsewhere."""
        loaded = await session_states.lock(unit, [worker.session_id])
        state = loaded.states[worker.session_id]
        if state.worker is not None and state.worker.id == worker.id:
            lose_worker(state, Reason.WORKER_LOST, self._policy, "removed by its manager")
        forced = await workers.removed(unit, worker.id)
        if forced is not None:
            state.tell(WorkerRemoved(worker_id=worker.id, forced=forced), project=True)
        loaded.workers.pop(worker.id, None)
        state.former_worker = None
        await session_saves.save(unit, loaded)

    async def _stuck(self, unit: Unit, worker: WorkerRow, change: WorkerChange) -> None:
        """Its host still has what is over: told once, for a person may have to look."""
        loaded = await session_states.lock(unit, [worker.session_id])
        if await workers.stuck(unit, worker.id):
            detail = storable(f"worker {worker.id}: {change.reason} {change.detail}")
            state = loaded.states[worker.session_id]
            state.tell(AlertRaised(code="removal_stuck", detail=detail), project=True)
            await session_saves.save(unit, loaded)

    async def ask_stop(self, manager_id: UUID, worker_id: UUID, ask: AskStop) -> StopAnswer:
        """An idle stop or a drain: granted only while the session has no live run on the worker."""
        async with self._database.unit() as unit:
            await require_incarnation(unit, manager_id, ask.incarnation)
            worker = await workers.worker(unit.connection, worker_id)
            if worker is None or worker.manager_id != manager_id:
                raise NotFound(Code.WORKER_NOT_FOUND, f"there is no worker {worker_id} of yours")
            loaded = await session_states.lock(unit, [worker.session_id])
            await failpoint("stop.locked")
            state = loaded.states[worker.session_id]
            why = Why.DRAIN if ask.drain else Why.IDLE
            stop = await ask_to_stop(unit, state, worker_id, why)
            await session_saves.save(unit, loaded)
        return StopAnswer(granted=stop is Stop.STOPPING)

    async def ask_stop_session(self, session_id: UUID) -> bool:
        """A person asks for it; False: there is nothing to stop, or its session has a live run."""
        async with self._database.unit() as unit:
            loaded = await session_states.lock(unit, [session_id])
            state = loaded.states.get(session_id)
            if state is None or state.worker is None:
                return False
            stop = await ask_to_stop(unit, state, state.worker.id, Why.ASKED)
            await session_saves.save(unit, loaded)
            return stop is Stop.STOPPING

    async def remove(self, session_id: UUID, *, forced: bool, by: UUID) -> UUID:
        """Ends the session's newest worker and has its volume deleted; answers the worker's id.

        Unforced, only a released worker goes. Forced, it is audited, and a live run is tried again.
        Raises NotFound, or Stale `session_busy`.
        """
        async with self._database.unit() as unit:
            loaded = await session_states.lock(unit, [session_id])
            worker_id = await workers.latest(unit.connection, session_id)
            state = loaded.states.get(session_id)
            worker = await workers.worker(unit.connection, worker_id) if worker_id else None
            if state is None or worker is None:
                raise NotFound(Code.WORKER_NOT_FOUND, "the session has no worker")
            state.trace_id = current_trace_id()
            if state.worker is not None and not forced:
                raise Stale(
                    Code.SESSION_BUSY,
                    "its worker is not stopped and saved; stop it first, or use force",
                )
            if state.worker is not None:
                worker = state.worker
                lose_worker(state, Reason.WORKER_REMOVED, self._policy, "removed by force")
            worker_ends.ask_to_remove(state, worker.id, forced=forced)
            await workers.request_removals(unit, [worker.id])
            await audit.record(
                unit,
                state.session.project_id,
                actor=by,
                action="session_worker.remove",
                target=str(worker.id),
                detail={"session_id": str(session_id), "forced": forced},
            )
            await session_saves.save(unit, loaded)
            unit.wakes.managers.add(worker.manager_id)
        return worker.id


def tell_steps(state: SessionState, steps: Sequence[StartStep]) -> None:
    """The steps of a start of the current worker; a report that comes again tells nothing again."""
    worker = state.worker
    told = hash_token(msgspec.json.encode(steps).decode()) if steps else ""
    if worker is None or not steps or worker.steps_told == told:
        return
    worker.steps_told = told
    state.trace_id = current_trace_id()
    for step in steps:
        state.tell(
            WorkerStep(
                worker_id=worker.id,
                step=step.step,
                outcome="failed" if step.reason else "done",
                duration_ms=step.duration_ms,
                reason=storable(step.reason),
            )
        )


def lose_worker(state: SessionState, reason: Reason, policy: Policy, detail: str = "") -> None:
    """The current worker's epoch ends; its live run is tried again, parked, or given up."""
    worker = worker_ends.supersede(state, reason.value)
    run = state.head
    if worker is not None and run is not None and run.worker_id == worker.id:
        retries.lose(state, run, reason, policy, detail)
