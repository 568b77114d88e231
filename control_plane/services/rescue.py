"""What the loops do for lines that nobody moves: reclaim, overdue cancels, parking, repair."""

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

from chassis.failpoints import failpoint
from chassis.ids import new_id
from contracts.commands import ParkRun
from contracts.events import HumanLoopOverdue
from contracts.reasons import Reason
from contracts.runs import LIVE, RunState
from control_plane.domain import line, retries, worker_ends
from control_plane.domain.containers import REASONS, refused_by_all
from control_plane.domain.line import Policy
from control_plane.domain.session_state import RunEnd
from control_plane.services.workers import lose_worker
from control_plane.store import commands, containers, session_saves, session_states, workers
from control_plane.store.database import Database, Unit

AT_ONCE = 50


class Rescue:
    def __init__(
        self, database: Database, policy: Policy, *, park_after: float, unoffered_after: float
    ) -> None:
        self._database = database
        self._policy = policy
        self._park_after = park_after
        self._unoffered_after = unoffered_after

    async def reclaim(self) -> int:
        """Ends the epochs of workers whose lease ran out; answers how many.

        The tick stands in the database: after a gap in which no replica looked, one full lease
        passes before anything is taken, so that healthy workers can say that they live.
        """
        lease = self._policy.lease
        async with self._database.unit() as unit:
            if not await workers.tick(unit, "reclaim", gap=lease / 2, pause=lease):
                return 0
            candidates = await workers.expired(unit.connection, AT_ONCE)
        await failpoint("reclaim.candidates")
        return await _each([(session_id,) for session_id in candidates], self._reclaim_one)

    async def _reclaim_one(self, session_id: UUID) -> bool:
        async with self._database.unit() as unit:
            loaded = await session_states.lock_free(unit, [session_id], 1)
            await failpoint("reclaim.locked")
            state = loaded.states.get(session_id)
            if state is None or state.worker is None or not state.worker.lease_expired:
                return False
            lose_worker(state, Reason.WORKER_LOST, self._policy, "its lease ran out")
            await session_saves.save(unit, loaded)
            return True

    async def release_forgotten(self, idle_workers: Sequence[UUID]) -> int:
        """What a worker was given and says it does not have, after a grace: it is tried again."""
        grace = self._policy.lease / 2
        async with self._database.reading() as connection:
            forgotten = await workers.forgotten_runs(connection, idle_workers, grace)

        async def release(session_id: UUID, _run_id: UUID) -> bool:
            async with self._database.unit() as unit:
                loaded = await session_states.lock(unit, [session_id])
                state = loaded.states[session_id]
                still = await workers.forgotten_runs(unit.connection, idle_workers, grace)
                if state.head is None or (session_id, state.head.id) not in still:
                    return False
                reason = Reason.EXECUTOR_INTERRUPTED
                detail = "its executor does not have it"
                retries.lose(state, state.head, reason, self._policy, detail)
                await session_saves.save(unit, loaded)
                return True

        return await _each(forgotten, release)

    async def end_overdue_cancels(self) -> int:
        """A live run whose executor did not end it in time: its worker's epoch ends, it is over."""
        async with self._database.reading() as connection:
            overdue = await workers.sessions_and_ids(connection, "overdue_cancels", AT_ONCE)
        return await _each(overdue, self._end_overdue_one)

    async def _end_overdue_one(self, session_id: UUID, run_id: UUID) -> bool:
        async with self._database.unit() as unit:
            loaded = await session_states.lock(unit, [session_id])
            state = loaded.states[session_id]
            run = state.head
            if run is None or run.id != run_id or run.state not in LIVE:
                return False
            worker_ends.supersede(state, Reason.CANCEL_DEADLINE.value)
            line.finish(state, run, RunState.CANCELED, RunEnd(reason=Reason.CANCEL_DEADLINE))
            await session_saves.save(unit, loaded)
            return True

    async def block_unoffered(self) -> int:
        """Queued runs whose agent no living manager offers, or none grants what their app says of
        containers: somebody has to do something.
        """
        async with self._database.reading() as connection:
            unoffered = await containers.unoffered(connection, self._unoffered_after, AT_ONCE)
        return await _each(unoffered, self._block_one)

    async def _block_one(self, session_id: UUID, run_id: UUID) -> bool:
        async with self._database.unit() as unit:
            loaded = await session_states.lock(unit, [session_id])
            state = loaded.states[session_id]
            run = state.head
            if run is None or run.id != run_id or run.state is not RunState.QUEUED:
                return False
            end = await self._why_unoffered(unit, session_id, run.agent)
            line.finish(state, run, RunState.BLOCKED, end)
            await session_saves.save(unit, loaded)
            return True

    async def _why_unoffered(self, unit: Unit, session_id: UUID, agent: str) -> RunEnd:
        within, connection = self._unoffered_after, unit.connection
        choice = await containers.of_offered_agent(
            connection, session_id, agent, seen_within=within
        )
        offers = await containers.offers(connection, seen_within=within)
        refusal = refused_by_all(choice, offers.values()) if choice is not None else None
        if refusal is not None:
            reason = REASONS[refusal.rule]
            return RunEnd(reason=reason, detail=refusal.detail)
        together = " and its app's container together" if choice is not None else ""
        detail = f"no executor manager offers the agent {agent}{together}"
        return RunEnd(reason=Reason.AGENT_MISSING, detail=detail)

    async def park(self) -> int:
        """Asks workers to let go of runs that wait for a person for long."""
        async with self._database.reading() as connection:
            waiting = await workers.sessions_and_ids(
                connection, "waiting_too_long", self._park_after, AT_ONCE
            )
        return await _each(waiting, self._park_one)

    async def _park_one(self, session_id: UUID, run_id: UUID) -> bool:
        async with self._database.unit() as unit:
            loaded = await session_states.lock(unit, [session_id])
            state = loaded.states[session_id]
            run = state.head
            waits = run is not None and run.id == run_id and run.state is RunState.WAITING
            if run is None or state.worker is None or not waits or run.worker_id is None:
                return False
            if await commands.has_open(unit.connection, state.worker.id, "park"):
                return False
            state.command(ParkRun(id=new_id(), run_id=run.id, attempt=run.attempt))
            await session_saves.save(unit, loaded)
            return True

    async def repair_lines(self) -> int:
        """Promotes where a line has pending runs and no head; none should be found."""
        async with self._database.reading() as connection:
            headless = await workers.headless_lines(connection, AT_ONCE)
        if headless:
            async with self._database.unit() as unit:
                loaded = await session_states.lock(unit, headless)
                await session_saves.save(unit, loaded)
        return len(headless)

    async def tell_overdue(self) -> int:
        """Overdue is a hint: the request stays answerable; nothing answers by itself."""
        async with self._database.reading() as connection:
            overdue = await workers.sessions_and_ids(connection, "overdue_requests", AT_ONCE)
        return await _each(overdue, self._tell_one)

    async def _tell_one(self, session_id: UUID, request_id: UUID) -> bool:
        async with self._database.unit() as unit:
            loaded = await session_states.lock(unit, [session_id])
            state = loaded.states[session_id]
            for _, _, run_id in await workers.mark_overdue(unit, [request_id]):
                run = state.head if state.head and state.head.id == run_id else None
                state.tell(HumanLoopOverdue(request_id=request_id), run=run, project=True)
            await session_saves.save(unit, loaded)
            return True


async def _each(items: Sequence[tuple[UUID, ...]], action: Callable[..., Awaitable[bool]]) -> int:
    """How many were moved. One that fails keeps no other waiting; then the whole pass fails."""
    moved, errors = 0, list[Exception]()
    for item in items:
        try:
            moved += await action(*item)
        except Exception as error:  # noqa: BLE001 # raised below, when the others are done
            errors.append(error)
    if errors:
        raise ExceptionGroup("some lines could not be moved", errors)
    return moved
