"""Runs enter a session's line, are canceled, are tried anew."""

from dataclasses import dataclass
from uuid import UUID

from chassis.errors import BerthError, NotFound, Stale
from chassis.failpoints import failpoint
from chassis.ids import new_id
from chassis.telemetry import current_trace_id
from contracts.errors import Code
from contracts.events import MessageUser
from contracts.runs import TERMINAL, RunLimits, RunOptions, RunState
from contracts.sessions import SessionState as SessionLife
from control_plane.domain import line
from control_plane.domain.line import Policy
from control_plane.domain.options import StoredOptions
from control_plane.domain.session_state import RunRow, SessionState
from control_plane.services.admission import admit_run
from control_plane.store import line as line_store
from control_plane.store import run_saves, session_saves, session_states
from control_plane.store.database import Database, Unit


@dataclass(frozen=True, slots=True)
class Enqueued:
    run_id: UUID
    session_id: UUID
    seq: int
    """Of the run's first event: a stream that starts before it misses nothing."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is asked of a new run."""

    prompt: str
    options: RunOptions | StoredOptions
    by: UUID | None
    task_id: UUID | None = None
    retry_of: UUID | None = None
    traceparent: str = ""


class Runs:
    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy

    async def enqueue(
        self,
        unit: Unit,
        session_id: UUID,
        *,
        prompt: str,
        options: RunOptions | StoredOptions,
        by: UUID | None,
        task_id: UUID | None = None,
        retry_of: UUID | None = None,
        traceparent: str = "",
    ) -> Enqueued:
        """In the caller's transaction. Raises NotFound, Stale where the session is archived, or
        `limit_reached`.
        """
        order = Order(prompt, options, by, task_id, retry_of, traceparent)
        loaded = await session_states.lock(unit, [session_id])
        state = loaded.states.get(session_id)
        if state is None:
            raise NotFound(Code.SESSION_NOT_FOUND, f"there is no session {session_id}")
        if state.session.life is SessionLife.ARCHIVED:
            raise Stale(Code.SESSION_ARCHIVED, "un-archive the session to go on with it")
        await failpoint("enqueue.locked")
        run = await self._enter(unit, state, order)
        await session_saves.save(unit, loaded)
        return Enqueued(run.id, session_id, run.line_no)

    async def _enter(self, unit: Unit, state: SessionState, order: Order) -> RunRow:
        state.trace_id = current_trace_id()
        limits = order.options.limits or RunLimits()
        run = RunRow(
            id=new_id(),
            project_id=state.session.project_id,
            session_id=state.id,
            task_id=order.task_id,
            agent=state.session.agent,
            state=RunState.PENDING,
            line_no=state.last_seq + len(state.events) + 1,
            attempt=1,
            failures=0,
            losses=0,
            max_failures=limits.max_failures,
            claim_id=None,
            worker_id=None,
            cancel_requested=False,
            started=False,
            available=True,
            user_id=order.by,
        )
        told = await admit_run(unit, project_id=run.project_id, user_id=order.by, run_id=run.id)
        state.tell(MessageUser(text=order.prompt, user_id=order.by), run=run)
        line.enqueue(state, run)
        if run.state is RunState.QUEUED and state.worker is None:
            for warning in told:
                state.tell(warning, run=run)
        await run_saves.insert_run(
            unit,
            run,
            prompt=order.prompt,
            options=order.options,
            retry_of=order.retry_of,
            traceparent=order.traceparent,
        )
        return run

    async def cancel(self, run_id: UUID) -> None:
        """Idempotent while the run is not over; raises Stale `already_finished` after its end."""
        async with self._database.unit() as unit:
            session_id = await line_store.session_of(unit.connection, run_id)
            if session_id is None:
                raise NotFound(Code.RUN_NOT_FOUND, f"there is no run {run_id}")
            loaded = await session_states.lock(unit, [session_id])
            await failpoint("cancel.locked")
            run = await session_states.load_run(unit, loaded, run_id)
            if run is None or run.state in TERMINAL:
                raise Stale(Code.ALREADY_FINISHED, "the run has ended already")
            state = loaded.states[session_id]
            state.trace_id = current_trace_id()
            line.cancel(state, run, self._policy)
            await session_saves.save(unit, loaded)
            await failpoint("cancel.saved")

    async def retry(
        self, unit: Unit, run_id: UUID, *, by: UUID | None, traceparent: str = ""
    ) -> Enqueued:
        """A new run with what the ended one was asked. Raises BerthError `conflict` before that."""
        former = await line_store.asked(unit.connection, run_id)
        if former is None:
            raise NotFound(Code.RUN_NOT_FOUND, f"there is no run {run_id}")
        if former.state not in TERMINAL:
            raise BerthError(Code.CONFLICT, f"the run is {former.state}; only an ended one can be")
        return await self.enqueue(
            unit,
            former.session_id,
            prompt=former.prompt,
            options=former.options,
            by=by,
            task_id=former.task_id,
            retry_of=run_id,
            traceparent=traceparent,
        )
