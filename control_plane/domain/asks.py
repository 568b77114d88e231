"""Human-loop requests: asked, re-attached, answered once, taken at most once, withdrawn.

A grant binds to session, run and argument hash and records the asking attempt. *Answered* and not
taken, it serves the next attempt's identical ask once; *delivered*, it never carries over: the tool
may have run, so the next attempt asks again.
"""

from uuid import UUID

from contracts.events import AskOption, HumanLoopRequested, HumanLoopResolved, RunWarning
from contracts.human_loop import Reply, RequestState
from contracts.runs import RunState
from contracts.spool import Asked
from control_plane.domain import line
from control_plane.domain.session_state import AnswerTo, RequestRow, RunRow, SessionState
from control_plane.domain.words import storable

OPEN = frozenset({RequestState.PENDING, RequestState.ANSWERED})


def asked(state: SessionState, run: RunRow, entry: Asked) -> None:
    """A new request, or the open one of a former attempt met again by an identical ask."""
    former = _identical(state, run, entry)
    if former is not None:
        former.ask_id, former.attempt = entry.ask_id, run.attempt
        if former.state is RequestState.ANSWERED:
            line.offer_answer(state, former, run)
        request = former
    else:
        request = _new(run, entry)
        state.requests.append(request)
        _say_if_taken_before(state, run, request)
    state.tell(requested(request, reattached=former is not None), run=run, project=True)
    run.state = RunState.WAITING
    line.task_changed(state, run)


def _identical(state: SessionState, run: RunRow, entry: Asked) -> RequestRow | None:
    for request in state.requests:
        if request.answer_to is not AnswerTo.RUN:
            continue
        same = request.type == entry.kind and request.input_hash == storable(entry.input_hash)
        if same and request.state in OPEN and request.attempt < run.attempt:
            return request
    return None


def _say_if_taken_before(state: SessionState, run: RunRow, request: RequestRow) -> None:
    for former in state.requests:
        same = former.input_hash == request.input_hash and former.attempt < run.attempt
        to_run = former.answer_to is AnswerTo.RUN
        if same and to_run and former.state is RequestState.DELIVERED:
            state.tell(
                RunWarning(
                    code="asked_again",
                    detail="an earlier attempt was given this answer and may have acted on it",
                ),
                run=run,
            )
            return


def _new(run: RunRow, entry: Asked) -> RequestRow:
    return RequestRow(
        id=entry.ask_id,
        project_id=run.project_id,
        session_id=run.session_id,
        run_id=run.id,
        attempt=run.attempt,
        ask_id=entry.ask_id,
        type=entry.kind,
        state=RequestState.PENDING,
        title=storable(entry.title),
        tool=storable(entry.tool),
        input=entry.input,
        input_hash=storable(entry.input_hash),
        options=[_storable_option(option) for option in entry.options],
        form=entry.form,
    )


def _storable_option(option: AskOption) -> AskOption:
    return AskOption(id=storable(option.id), name=storable(option.name), kind=storable(option.kind))


def requested(request: RequestRow, *, reattached: bool = False) -> HumanLoopRequested:
    return HumanLoopRequested(
        request_id=request.id,
        type=request.type,  # type: ignore[arg-type] # the table's check constraint holds it
        title=request.title,
        tool=request.tool,
        input=request.input,
        input_hash=request.input_hash,
        options=request.options,
        form=request.form,
        reattached=reattached,
    )


def withdrawn(state: SessionState, run: RunRow, ask_id: UUID) -> None:
    for request in state.requests:
        if request.ask_id == ask_id and request.state in OPEN:
            line.withdraw(state, request, run)
    go_on(state, run)


def go_on(state: SessionState, run: RunRow) -> None:
    """Waiting ends when this attempt's asks are all taken or withdrawn."""
    waits = any(
        r.state in OPEN and r.attempt == run.attempt and r.answer_to is AnswerTo.RUN
        for r in state.requests
    )
    if run.state is RunState.WAITING and not waits:
        run.state = RunState.RUNNING
        line.task_changed(state, run)


def choose(request: RequestRow, reply: Reply) -> AskOption | None:
    """The option that a reply means: by id, or by its kind for a plain allow or reject."""
    options: list[AskOption] = request.options
    if reply.option_id is not None:
        return next((o for o in options if o.id == reply.option_id), None)
    if reply.decision is not None:
        kinds = (f"{reply.decision}_once", f"{reply.decision}_always")
        for kind in kinds:
            found = next((o for o in options if o.kind == kind), None)
            if found is not None:
                return found
    return None


def answer(
    state: SessionState, request: RequestRow, reply: Reply, option: AskOption | None, by: UUID
) -> None:
    """Decides a pending request; a parked run goes back into the queue in this transaction."""
    run = decide(state, request, reply, option, by)
    if run is None or run.state is not RunState.WAITING:
        return
    if run.worker_id is None:
        unpark(state, run)
    elif request.attempt == run.attempt:
        line.offer_answer(state, request, run)


def decide(
    state: SessionState, request: RequestRow, reply: Reply, option: AskOption | None, by: UUID
) -> RunRow | None:
    """Gives its run, if that is not over."""
    request.state = RequestState.ANSWERED
    request.option_id = option.id if option else None
    request.option_kind = option.kind if option else None
    request.text, request.content = reply.text, reply.content
    request.decided_by = by
    run = state.head if state.head and state.head.id == request.run_id else None
    state.tell(_resolved(request, by), run=run, project=True)
    return run


def _resolved(request: RequestRow, by: UUID) -> HumanLoopResolved:
    return HumanLoopResolved(
        request_id=request.id,
        outcome="answered",
        option_id=request.option_id,
        option_kind=request.option_kind,
        text=request.text,
        content=request.content,
        by=by,
    )


def unpark(state: SessionState, run: RunRow) -> None:
    """Parking raised the attempt already; nothing of the former one can come."""
    run.state = RunState.QUEUED
    run.delay = 0.0
    state.tell(line.queued(run), run=run, project=True)
    line.task_changed(state, run)


def take(
    state: SessionState, run: RunRow, request: RequestRow, *, epoch: int, ask_id: UUID
) -> bool:
    """Compare-and-set to `delivered` for (epoch, attempt, ask); the same again is the same yes."""
    if request.ask_id != ask_id:
        return False
    if request.state is RequestState.DELIVERED:
        return (request.delivered_epoch, request.delivered_attempt) == (epoch, run.attempt)
    if request.state is not RequestState.ANSWERED:
        return False
    request.state = RequestState.DELIVERED
    request.delivered_epoch, request.delivered_attempt = epoch, run.attempt
    go_on(state, run)
    return True
