"""What no longer agrees with itself is put right: by loops, and by passes that were asked for.

*Runs*: their worker's lease has run out, their cancel is overdue, their worker is not their
session's any more, or its executor says that it has nothing to do. *Saves*: a worker wrote longer
ago than policy allows and has not saved since; it is asked to, and goes on.
"""

from collections.abc import Sequence
from uuid import UUID

from chassis.failpoints import failpoint
from chassis.ids import new_id
from contracts.commands import SyncWorker
from contracts.reasons import Reason
from contracts.runs import RunState
from control_plane.domain import line, retries, worker_ends
from control_plane.domain.jobs import Member
from control_plane.domain.line import Policy
from control_plane.domain.session_state import RunEnd, SessionState
from control_plane.services.workers import lose_worker
from control_plane.store import commands, reconcile, session_saves, session_states, sessions
from control_plane.store.database import Database, Unit
from control_plane.store.reconcile import StaleHead
from control_plane.store.session_states import Loaded

AT_ONCE = 50


class Reconcile:
    """`save_overdue` is in seconds."""

    def __init__(self, database: Database, policy: Policy, *, save_overdue: float) -> None:
        self._database = database
        self._policy = policy
        self._save_overdue = save_overdue

    async def stale_runs(self) -> int:
        """One pass of the loop; answers how many lines it moved."""
        grace = self._policy.lease / 2
        async with self._database.reading() as connection:
            found = await reconcile.stale_runs(connection, grace, AT_ONCE)
        await failpoint("reconcile.candidates")
        async with self._database.unit() as unit:
            loaded = await session_states.lock_free(unit, found, AT_ONCE)
            outcomes = await self._put_right(unit, loaded, list(loaded.states))
            await session_saves.save(unit, loaded)
        return sum(outcome != "healthy" for outcome in outcomes.values())

    async def overdue_saves(self) -> int:
        """One pass of the loop; answers how many workers it asked."""
        async with self._database.reading() as connection:
            found = await reconcile.unsaved_too_long(connection, self._save_overdue, AT_ONCE)
        asked = 0
        async with self._database.unit() as unit:
            loaded = await session_states.lock_free(unit, [s for s, _ in found], AT_ONCE)
            for session_id, worker_id in found:
                state = loaded.states.get(session_id)
                if state is not None:
                    asked += await _ask_to_save(unit, state, worker_id) == "syncing"
            await session_saves.save(unit, loaded)
        return asked

    async def runs(self, unit: Unit, loaded: Loaded, members: Sequence[Member]) -> dict[int, str]:
        """Outcomes by member; what changed is for the caller to save."""
        wanted = list({member.session_id for member in members})
        outcomes = await self._put_right(unit, loaded, wanted)
        return {member.id: outcomes[member.session_id] for member in members}

    async def saves(self, unit: Unit, loaded: Loaded, members: Sequence[Member]) -> dict[int, str]:
        return {
            member.id: await _ask_to_save(unit, loaded.states[member.session_id], member.worker_id)
            for member in members
        }

    async def _put_right(
        self, unit: Unit, loaded: Loaded, session_ids: Sequence[UUID]
    ) -> dict[UUID, str]:
        lease = self._policy.lease
        may_take = await reconcile.may_reclaim(unit.connection, lease / 2)
        stale = await reconcile.stale_heads(unit.connection, session_ids, lease)
        outcomes: dict[UUID, str] = {}
        for session_id in session_ids:
            state = loaded.states[session_id]
            outcome = self._move(state, stale.get(session_id), may_take=may_take)
            if outcome == "healthy" and state.head is None:
                empty = await sessions.line_is_empty(unit, session_id)
                outcome = "healthy" if empty else "repaired"  # saving promotes who stands next
            outcomes[session_id] = outcome
        return outcomes

    def _move(self, state: SessionState, stale: StaleHead | None, *, may_take: bool) -> str:
        run, worker = state.head, state.worker
        if worker is not None and worker.lease_expired:
            if not may_take:
                return "deferred"
            lose_worker(state, Reason.WORKER_LOST, self._policy, "its lease ran out")
            return "reclaimed"
        if run is None or stale is None or stale.run_id != run.id:
            return "healthy"
        if stale.overdue:
            worker_ends.supersede(state, Reason.CANCEL_DEADLINE.value)
            line.finish(state, run, RunState.CANCELED, RunEnd(reason=Reason.CANCEL_DEADLINE))
            return "canceled"
        if stale.orphaned:
            retries.lose(state, run, Reason.WORKER_LOST, self._policy, "its worker is gone")
            return "requeued"
        if stale.forgotten:
            detail = "its executor does not have it"
            retries.lose(state, run, Reason.EXECUTOR_INTERRUPTED, self._policy, detail)
            return "requeued"
        return "healthy"


async def _ask_to_save(unit: Unit, state: SessionState, worker_id: UUID | None) -> str:
    worker = state.worker
    if worker is None or worker.id != worker_id:
        return "gone"
    if not worker.unsaved:
        return "saved"
    # one that stops saves before
    if not worker.stopping and not await commands.has_open(unit.connection, worker.id, "sync"):
        state.command(SyncWorker(id=new_id()))
    return "syncing"
