"""Answers of people: decided once, offered to the worker, taken at most once."""

from uuid import UUID

from chassis.errors import BerthError, NotFound, Stale
from chassis.failpoints import failpoint
from chassis.telemetry import current_trace_id
from contracts.errors import Code
from contracts.human_loop import Reply, RequestState
from contracts.spool import GrantTaken, TakeGrant
from control_plane.domain import asks
from control_plane.domain.session_state import RequestRow, SessionState
from control_plane.store import audit, human_loop, session_saves, session_states
from control_plane.store.database import Database, Unit


class HumanLoop:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def reply(self, request_id: UUID, reply: Reply, *, by: UUID) -> bool:
        """True: it had been answered before, and that answer stands.

        Raises NotFound; BerthError `validation_failed` where the reply fits no option; Stale
        `already_finished` where the request was withdrawn.
        """
        async with self._database.unit() as unit:
            session_id = await human_loop.session_of(unit.connection, request_id)
            if session_id is None:
                raise NotFound(Code.REQUEST_NOT_FOUND, f"there is no request {request_id}")
            loaded = await session_states.lock(unit, [session_id])
            await failpoint("reply.locked")
            state = loaded.states[session_id]
            request = _find(state, request_id)
            if request is None:
                return await _answered_before(unit, request_id)
            if request.state is not RequestState.PENDING:
                return True
            option = asks.choose(request, reply)
            _check(request, reply, has_option=option is not None)
            state.trace_id = current_trace_id()
            asks.answer(state, request, reply, option, by)
            await audit.record(
                unit,
                state.session.project_id,
                actor=by,
                action="human_loop.reply",
                target=str(request_id),
                detail={"option": option.id if option else None, "kind": request.option_kind},
            )
            await session_saves.save(unit, loaded)
        return False

    async def take(
        self, worker_id: UUID, session_id: UUID, request_id: UUID, ask: TakeGrant
    ) -> GrantTaken:
        """Compare-and-set to `delivered`. Raises Stale: the epoch, the attempt, or it is taken."""
        async with self._database.unit() as unit:
            loaded = await session_states.lock(unit, [session_id])
            await failpoint("grant.locked")
            state = loaded.states[session_id]
            if state.worker is None or state.worker.id != worker_id:
                raise Stale(Code.STALE_EPOCH, "this worker is no longer its session's")
            if state.worker.epoch != ask.epoch:
                raise Stale(Code.STALE_EPOCH, f"the epoch is {state.worker.epoch}")
            request, run = _find(state, request_id), state.head
            if request is None or run is None:
                raise Stale(Code.ALREADY_FINISHED, "the request is not open any more")
            if run.attempt != ask.attempt or run.worker_id != worker_id:
                raise Stale(Code.STALE_ATTEMPT, f"the attempt is {run.attempt}")
            if not asks.take(state, run, request, epoch=ask.epoch, ask_id=ask.ask_id):
                raise Stale(Code.GRANT_TAKEN, "the answer is not there to take (any more)")
            await session_saves.save(unit, loaded)
        await failpoint("grant.committed")
        return GrantTaken(
            option_id=request.option_id,
            option_kind=request.option_kind,
            text=request.text,
            content=request.content,
        )


async def _answered_before(unit: Unit, request_id: UUID) -> bool:
    """Its run has ended: a first answer stands, what nobody answered was withdrawn."""
    if await human_loop.state_of(unit.connection, request_id) is RequestState.WITHDRAWN:
        raise Stale(Code.ALREADY_FINISHED, "its run has ended; nobody waits for the answer")
    return True


def _find(state: SessionState, request_id: UUID) -> RequestRow | None:
    return next((r for r in state.requests if r.id == request_id), None)


def _check(request: RequestRow, reply: Reply, *, has_option: bool) -> None:
    if request.type == "permission" and not has_option:
        options = [option.id for option in request.options]
        raise BerthError(
            Code.VALIDATION,
            "the reply names none of the options",
            field="option_id",
            expected=f"one of {options}, or a decision: allow or reject",
        )
    said = reply.text is not None or reply.content is not None or reply.decision is not None
    if request.type == "question" and not said:
        raise BerthError(
            Code.VALIDATION,
            "a question wants a text or a content",
            field="text",
            expected="a text, a content that fits the form, or decision: reject",
        )
