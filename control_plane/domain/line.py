"""A session's line: how runs enter it, leave it, go back to it.

Pure; saving promotes what follows a head that left. `attempt` fences: every exit from claimed,
running or waiting back to queued, and every parking, raises it.
"""

from dataclasses import dataclass

from chassis.ids import new_id
from contracts.commands import CancelRun, ReplyToAsk
from contracts.events import (
    HumanLoopResolved,
    MessageUser,
    RunClosed,
    RunFinished,
    RunParked,
    RunQueued,
)
from contracts.human_loop import RequestState
from contracts.reasons import ADVICE, Reason
from contracts.runs import LIVE, RunState
from contracts.tasks import TaskState
from contracts.workers import WorkerState
from control_plane.domain.questions import as_message
from control_plane.domain.session_state import (
    AnswerTo,
    FollowUp,
    RequestRow,
    RunEnd,
    RunRow,
    SessionState,
    TaskChange,
)


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in seconds."""

    lease: float = 30.0
    cancel_deadline: float = 30.0
    backoff_base: float = 1.0
    backoff_cap: float = 120.0
    max_losses: int = 5


def enqueue(state: SessionState, run: RunRow) -> None:
    """A new run: the head if nobody stands there, else pending."""
    run.state = RunState.PENDING if state.head is not None else RunState.QUEUED
    state.new_runs.append(run)
    if state.head is None:
        state.head = run
    state.tell(queued(run), run=run, project=True)
    task_changed(state, run)


def finish(state: SessionState, run: RunRow, new: RunState, end: RunEnd) -> None:
    """Ends a run for good: terminal is final, open asks are withdrawn, the head's place is free."""
    _end_requests(state, run, new)
    run.state = new
    run.claim_id = None
    state.ends[run.id] = end
    state.closed.append(run)
    state.tell(
        RunFinished(
            state=new.value,  # type: ignore[arg-type] # only terminal states come here
            reason=end.reason,
            remedy=ADVICE[end.reason].remedy,
            detail=end.detail,
            snapshot_id=end.snapshot_id,
            unsaved=end.unsaved,
        ),
        run=run,
        project=True,
    )
    state.tell(RunClosed(state=new.value), run=run)  # type: ignore[arg-type] # as above
    _task_ended(state, run, end)
    if state.head is run:
        leave_line(state)


def _end_requests(state: SessionState, run: RunRow, new: RunState) -> None:
    """Nobody waits for what the run waited for; what its agent stopped for outlives it."""
    for request in state.requests:
        if request.run_id != run.id:
            continue
        if request.answer_to is not AnswerTo.RUN:
            _end_question(state, request, run, new)
        elif request.state is RequestState.PENDING:
            withdraw(state, request, run)


def _end_question(state: SessionState, request: RequestRow, run: RunRow, new: RunState) -> None:
    """A call of `ask_user` that still waits finds that it came too late."""
    if request.state not in {RequestState.PENDING, RequestState.ANSWERED}:
        return
    if new is RunState.CANCELED:
        withdraw(state, request, run)
    elif request.state is RequestState.ANSWERED:
        follow_up(state, request, run)
    else:
        request.answer_to = AnswerTo.MESSAGE


def follow_up(
    state: SessionState, request: RequestRow, run: RunRow, *, traceparent: str = ""
) -> None:
    """The answer to what `run` asked begins the session's next turn: delivered by it, once."""
    request.state, request.answer_to = RequestState.DELIVERED, AnswerTo.MESSAGE
    request.delivered_epoch = state.session.epoch
    request.delivered_attempt = request.attempt
    prompt = as_message(request)
    new = RunRow(
        id=new_id(),
        project_id=state.session.project_id,
        session_id=state.id,
        task_id=run.task_id,
        agent=state.session.agent,
        state=RunState.PENDING,
        line_no=state.last_seq + len(state.events) + 1,
        attempt=1,
        failures=0,
        losses=0,
        max_failures=run.max_failures,
        claim_id=None,
        worker_id=None,
        cancel_requested=False,
        started=False,
        available=True,
        user_id=run.user_id,
    )
    state.tell(MessageUser(text=prompt, user_id=request.decided_by), run=new)
    state.follow_ups.append(FollowUp(new, run.id, prompt, request.decided_by, traceparent))
    enqueue(state, new)


def leave_line(state: SessionState) -> None:
    """The one exit: the head's place is free, its worker idle; saving promotes who stands next."""
    state.head = None
    if state.worker is not None and state.worker.state is WorkerState.BUSY:
        state.worker.state = WorkerState.IDLE


def withdraw(state: SessionState, request: RequestRow, run: RunRow) -> None:
    request.state = RequestState.WITHDRAWN
    state.tell(HumanLoopResolved(request_id=request.id, outcome="withdrawn"), run=run, project=True)


def requeue(state: SessionState, run: RunRow, *, delay: float = 0.0) -> None:
    """Back to queued: the former attempt is fenced in this very transaction."""
    _leave_worker(state, run)
    run.state = RunState.QUEUED
    run.delay = delay
    state.tell(queued(run), run=run, project=True)
    task_changed(state, run)


def queued(run: RunRow) -> RunQueued:
    return RunQueued(
        agent=run.agent, state="pending" if run.state is RunState.PENDING else "queued"
    )


def park(state: SessionState, run: RunRow, reason: Reason | None = None) -> None:
    """Waits for a person without a worker, keeping its place; an answer that came in requeues.

    Nobody runs it any more: where its cancel was asked for, it is over now.
    """
    if run.cancel_requested:
        finish(state, run, RunState.CANCELED, RunEnd(reason=Reason.CANCELED))
        return
    if not awaits_person(state):
        requeue(state, run)
        return
    state.tell(RunParked(next_attempt=run.attempt + 1, reason=reason), run=run, project=True)
    _leave_worker(state, run)
    run.state = RunState.WAITING


def awaits_person(state: SessionState) -> bool:
    return any(
        r.state is RequestState.PENDING and r.answer_to is AnswerTo.RUN for r in state.requests
    )


def _leave_worker(state: SessionState, run: RunRow) -> None:
    run.attempt += 1
    run.worker_id = None
    run.claim_id = None
    if state.worker is not None and state.worker.state is WorkerState.BUSY:
        state.worker.state = WorkerState.IDLE


def cancel(state: SessionState, run: RunRow, policy: Policy) -> None:
    """At once where nothing runs; else asked of the executor, with a deadline."""
    if run.state in LIVE and run.worker_id is not None and state.worker is not None:
        if not run.cancel_requested:
            run.cancel_requested = True
            run.cancel_in = policy.cancel_deadline
        state.command(CancelRun(id=new_id(), run_id=run.id, attempt=run.attempt))
        return
    finish(state, run, RunState.CANCELED, RunEnd(reason=Reason.CANCELED))


def offer_answer(state: SessionState, request: RequestRow, run: RunRow) -> None:
    """Tells the worker that there is an answer to take."""
    state.command(
        ReplyToAsk(id=new_id(), run_id=run.id, ask_id=request.ask_id, request_id=request.id)
    )


def task_changed(state: SessionState, run: RunRow) -> None:
    if run.task_id is not None:
        state.tasks.append(TaskChange(run.task_id, run.id, run.state))


def _task_ended(state: SessionState, run: RunRow, end: RunEnd) -> None:
    if run.task_id is None:
        return
    well = run.state is RunState.SUCCEEDED
    change = TaskChange(
        run.task_id,
        run.id,
        run.state,
        end.reason,
        to=TaskState.WAITING if well and end.asks else None,
        summary=end.summary if well or run.state is RunState.BLOCKED else None,
    )
    state.tasks.append(change)
