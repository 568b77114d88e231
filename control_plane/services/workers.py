"""Session workers' lives: what their managers tell of them, stops, and removals."""

from typing import assert_never
from uuid import UUID

from chassis.errors import NotFound, Stale
from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.telemetry import current_trace_id
from contracts.commands import InterruptRun
from contracts.errors import Code
from contracts.events import WorkerFailed, WorkerRemoved
from contracts.managers import AskStop, StopAnswer, WorkerChange, WorkerChanged
from contracts.reasons import Reason
from contracts.runs import LIVE, RunState
from contracts.workers import WorkerState
from control_plane.domain import line
from control_plane.domain.line import Policy
from control_plane.domain.session_state import SessionState, WorkerRow
from control_plane.domain.words import storable
from control_plane.services.incarnation import require_incarnation
from control_plane.services.verdicts import verdict
from control_plane.store import audit, commands, session_saves, session_states, workers
from control_plane.store.database import Database, Unit


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
                    await workers.change_state(
                        unit, worker_id, WorkerState.READY, when=[WorkerState.CREATING]
                    )
                case "failed":
                    await self._failed(unit, worker, change)
                case "removed":
                    await self._removed(unit, worker)
                case "stopped":
                    pass
                case _:
                    assert_never(change.change)
            standings = await workers.standings(unit.connection, [worker_id])
        return WorkerChanged(verdict=verdict(standings.get(worker_id), manager_id))

    async def _failed(self, unit: Unit, worker: WorkerRow, change: WorkerChange) -> None:
        """It never became ready, or was lost with its spool: its epoch ends, its run goes on."""
        loaded = await session_states.lock(unit, [worker.session_id])
        state = loaded.states[worker.session_id]
        current = state.worker
        if current is None or current.id != worker.id:
            return
        state.tell(
            WorkerFailed(worker_id=worker.id, reason=change.reason, detail=change.detail),
            project=True,
        )
        detail = storable(f"{change.reason} {change.detail}")
        lose_worker(state, Reason.WORKER_START_FAILED, self._policy, detail)
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
            granted = await self._may_stop(unit, state, worker_id, drain=ask.drain)
            await session_saves.save(unit, loaded)
        return StopAnswer(granted=granted)

    async def _may_stop(
        self, unit: Unit, state: SessionState, worker_id: UUID, *, drain: bool
    ) -> bool:
        if state.worker is None or state.worker.id != worker_id:
            return False
        run = state.head
        if run is not None and run.worker_id == worker_id and run.state in LIVE:
            asked = await commands.has_open(unit.connection, worker_id, "interrupt")
            if drain and not asked:
                state.command(InterruptRun(id=new_id(), run_id=run.id, attempt=run.attempt))
            return False
        if run is not None and run.state is RunState.QUEUED and not drain:
            # whom its manager can run no longer, another one must be able to claim
            manager_id = state.worker.manager_id
            if await workers.offers_agent(unit.connection, manager_id, run.agent):
                return False
        line.ask_to_stop(state)
        return True

    async def ask_stop_session(self, session_id: UUID) -> bool:
        """A person asks for it; False: there is nothing to stop, or its session has a live run."""
        async with self._database.unit() as unit:
            loaded = await session_states.lock(unit, [session_id])
            state = loaded.states.get(session_id)
            if state is None or state.worker is None:
                return False
            granted = await self._may_stop(unit, state, state.worker.id, drain=False)
            await session_saves.save(unit, loaded)
            return granted

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
            line.ask_to_remove(state, worker, forced=forced)
            await workers.request_removal(unit, worker.id)
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


def lose_worker(state: SessionState, reason: Reason, policy: Policy, detail: str = "") -> None:
    """The current worker's epoch ends; its live run is tried again, parked, or given up."""
    worker = line.supersede(state, reason.value)
    run = state.head
    if worker is not None and run is not None and run.worker_id == worker.id:
        line.lose(state, run, reason, policy, detail)
