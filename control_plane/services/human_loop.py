"""Answers of people: decided once, offered to the worker, taken at most once."""

from uuid import UUID

import msgspec

from chassis.errors import BerthError, NotFound, Stale
from chassis.failpoints import failpoint
from chassis.telemetry import current_trace_id, traceparent
from contracts.errors import Code
from contracts.events import AskOption
from contracts.human_loop import Reply, RequestState
from contracts.sessions import SessionState as SessionLife
from contracts.spool import GrantTaken, TakeGrant
from control_plane.domain import asks, forms, line, questions
from control_plane.domain.session_state import AnswerTo, RequestRow, SessionState
from control_plane.store import audit, human_loop, session_saves, session_states
from control_plane.store.database import Database, Unit
from control_plane.store.session_states import Loaded


class HumanLoop:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def reply(self, request_id: UUID, reply: Reply, *, by: UUID) -> bool:
        """True: it had been answered before, and that answer stands.

        Raises NotFound; BerthError `validation_failed` where the reply fits no option; Stale
        `already_finished` where the request was withdrawn, `session_archived` where the answer
        could not begin a turn.
        """
        async with self._database.unit() as unit:
            session_id = await human_loop.session_of(unit.connection, request_id)
            if session_id is None:
                raise NotFound(Code.REQUEST_NOT_FOUND, f"there is no request {request_id}")
            loaded = await session_states.lock(unit, [session_id])
            await failpoint("reply.locked")
            state = loaded.states[session_id]
            request = await session_states.load_request(unit, loaded, request_id)
            if request is None or request.state is RequestState.WITHDRAWN:
                raise Stale(Code.ALREADY_FINISHED, "its run has ended; nobody waits for the answer")
            if request.state is not RequestState.PENDING:
                return True
            if request.answer_to is not AnswerTo.RUN:
                reply = questions.meant(request, reply)
            option = asks.choose(request, reply)
            _check(request, reply, has_option=option is not None)
            reply = _filled(request, reply)
            state.trace_id = current_trace_id()
            if request.answer_to is AnswerTo.RUN:
                asks.answer(state, request, reply, option, by)
            else:
                await _answer_question(unit, loaded, request, reply, option=option, by=by)
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


async def _answer_question(
    unit: Unit,
    loaded: Loaded,
    request: RequestRow,
    reply: Reply,
    *,
    option: AskOption | None,
    by: UUID,
) -> None:
    """Where a call waits for it, it is left to that one; else it is enqueued now."""
    state = loaded.states[request.session_id]
    if state.session.life is SessionLife.ARCHIVED:
        raise Stale(Code.SESSION_ARCHIVED, "un-archive the session: the answer goes on with it")
    run = await session_states.load_run(unit, loaded, request.run_id)
    asks.decide(state, request, questions.in_words(reply), option, by)
    if run is not None and request.answer_to is AnswerTo.MESSAGE:
        line.follow_up(state, request, run, traceparent=traceparent() or "")


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
    if request.type == "question" and not said and not has_option:
        raise BerthError(
            Code.VALIDATION,
            "a question wants a text or a content",
            field="text",
            expected="a text, a content that fits the form, or decision: reject",
        )


def _filled(request: RequestRow, reply: Reply) -> Reply:
    """With the content that the form was filled in with, where the question has one."""
    if request.type != "question" or request.form is None:
        return reply
    if reply.decision == "allow" and reply.text is None and reply.content is None:
        raise BerthError(
            Code.VALIDATION,
            "decision: a form is filled in, or declined",
            field="decision",
            expected="reject, or a text, or a content that fits the form",
        )
    try:
        content = forms.filled(request.form, reply)
    except forms.Misfit as misfit:
        raise BerthError(
            Code.VALIDATION, str(misfit), field=misfit.field, expected=misfit.expected
        ) from misfit
    return msgspec.structs.replace(reply, content=content)
