"""The platform's tools: what agents, and others for them, say of their work and ask of people.

A call is one short transaction under the stream's lock, kept once for each key in its run: said
again, it gives the first answer again. `ask_user` waits between two of them, with none open; the
second decides, under the same lock as a person's answer, whether that answer is its own.
"""

import asyncio
from dataclasses import dataclass
from uuid import UUID

from chassis.errors import BerthError, NotFound, Stale
from chassis.failpoints import failpoint
from chassis.telemetry import current_trace_id
from contracts.errors import Code
from contracts.events import ToolAccepted
from contracts.human_loop import RequestState
from contracts.runs import LIVE
from contracts.sessions import SessionState as SessionLife
from contracts.tools import BlockTask, FinishTask, RequestInput, ToolAnswer
from control_plane.domain import asks, line, questions, task_changes
from control_plane.domain import tools as domain
from control_plane.domain.access import WorkerCaller
from control_plane.domain.session_state import AnswerTo, RequestRow, RunRow, SessionState
from control_plane.domain.tools import Call
from control_plane.services.idempotency import Ask, Idempotency, Once
from control_plane.services.wakeups import Wakeups
from control_plane.store import audit, session_saves, session_states
from control_plane.store import tools as store
from control_plane.store.database import Database, Unit
from control_plane.store.session_states import Loaded
from control_plane.store.tools import Caller, KnownCall


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a call was made: a locked session, and the run that it is about."""

    loaded: Loaded
    state: SessionState
    run: RunRow

    @property
    def live(self) -> bool:
        return self.state.head is self.run


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: ToolAnswer
    call: KnownCall
    waits: bool
    """For the person whom `ask_user` asked."""


class Tools:
    def __init__(
        self,
        database: Database,
        wakeups: Wakeups,
        *,
        idempotency: Idempotency,
        poll_seconds: float,
        ask_seconds: float = domain.ASK_SECONDS,
    ) -> None:
        self._database = database
        self._wakeups = wakeups
        self._idempotency = idempotency
        self._poll = poll_seconds
        self._ask_seconds = ask_seconds

    async def call(
        self, worker: WorkerCaller, call: Call, *, left: asyncio.Event | None = None
    ) -> ToolAnswer:
        """By the agent of this worker's live run. `left`: set when nobody waits for the answer.

        Raises Stale: `stale_epoch`, `already_finished` where no run of it is live.
        """
        async with self._database.unit() as unit:
            place = await _of_worker(unit, worker)
            kept = await _keep(unit, place, call, Caller(worker_id=worker.id))
        await failpoint("tool.committed")
        if not kept.waits or kept.call.request_id is None:
            return kept.answer
        gone = left or asyncio.Event()
        await self._until_answered(worker.session_id, kept.call.request_id, gone)
        return await self._settle(worker, kept, call, gone=gone.is_set())

    async def say(
        self, ask: Ask, data: FinishTask | BlockTask | RequestInput, *, by: UUID
    ) -> Once[ToolAnswer]:
        """By somebody else: about the session's head, or what was done in it last.

        Raises NotFound where nothing was done in it yet, Stale where its task moved on.
        """

        async def work(unit: Unit) -> ToolAnswer:
            place = await _of_session(unit, data.session_id)
            kept = await _keep(unit, place, domain.call_of(data), Caller(user_id=by))
            return kept.answer

        return await self._idempotency.once(ask, work, ToolAnswer, status=200)

    async def _until_answered(
        self, session_id: UUID, request_id: UUID, gone: asyncio.Event
    ) -> None:
        """Or until the time is up, or nobody is there to be told."""
        ends = asyncio.get_running_loop().time() + self._ask_seconds
        with self._wakeups.subscribe(session_id) as woken:
            while not gone.is_set():
                async with self._database.reading() as connection:
                    state = await store.request_state(connection, request_id)
                left = self._wakeups.left(ends)
                if state is not RequestState.PENDING or left <= 0:
                    return
                await woken.wait(min(left, self._poll))

    async def _settle(
        self, worker: WorkerCaller, kept: _Kept, call: Call, *, gone: bool
    ) -> ToolAnswer:
        """The answer is this call's, or it begins the next turn: decided once, here or there."""
        await failpoint("tool.waited")
        async with self._database.unit() as unit:
            place = await _of_worker(unit, worker)
            await failpoint("tool.settling")
            request = _undecided(place, kept.call)
            if request is not None and request.state is RequestState.PENDING:
                request.answer_to = AnswerTo.MESSAGE
            elif request is not None and gone:
                line.follow_up(place.state, request, place.run)
            elif request is not None:
                await _take(unit, place, kept.call, request)
            await session_saves.save(unit, place.loaded)
            known = await store.known(unit, place.run.id, call)
        if known is None:
            raise _no_run()
        return _answer(call, known, duplicate=kept.answer.duplicate)


async def _of_worker(unit: Unit, worker: WorkerCaller) -> _Place:
    loaded = await session_states.lock(unit, [worker.session_id])
    await failpoint("tool.locked")
    state = loaded.states[worker.session_id]
    if state.worker is None or state.worker.id != worker.id:
        raise Stale(
            Code.STALE_EPOCH,
            "this worker was superseded: another one goes on with the session; end your turn",
        )
    run = state.head
    if run is None or run.state not in LIVE or run.worker_id != worker.id:
        raise _no_run()
    if run.cancel_requested:
        raise Stale(Code.ALREADY_FINISHED, "a person canceled this run; end your turn now")
    return _Place(loaded, state, run)


def _no_run() -> Stale:
    return Stale(Code.ALREADY_FINISHED, "no run of this session is under way here; end your turn")


async def _of_session(unit: Unit, session_id: UUID) -> _Place:
    loaded = await session_states.lock(unit, [session_id])
    await failpoint("tool.locked")
    state = loaded.states[session_id]
    run = state.head
    if run is None:
        last = await store.last_run(unit.connection, session_id)
        run = None if last is None else await session_states.load_run(unit, loaded, last)
    if run is None:
        raise NotFound(Code.RUN_NOT_FOUND, "session_id: nothing was done in this session yet")
    return _Place(loaded, state, run)


async def _keep(unit: Unit, place: _Place, call: Call, caller: Caller) -> _Kept:
    """In the caller's transaction: noted, told, audited; or found to be so already."""
    known = await store.known(unit, place.run.id, call)
    if known is not None:
        return await _repeated(unit, place, call, known)
    await _require_room(unit, place, call)
    place.state.trace_id = current_trace_id()
    request = None
    if call.tool in domain.QUESTIONS:
        request = questions.new(place.run, call.tool, call.words, call.options)
        place.state.requests.append(request)
    request_id = None if request is None else request.id
    known = await store.record(
        unit, place.run, call, caller, epoch=place.state.session.epoch, request_id=request_id
    )
    _tell(place, call, caller, request)
    if not place.live:
        await _move_task(unit, place, call)
    await _audit(unit, place, call, caller)
    await session_saves.save(unit, place.loaded)
    await failpoint("tool.saved")
    answer = ToolAnswer(accepted=True, text=domain.told(call.tool), request_id=request_id)
    return _Kept(answer, known, waits=call.tool == "ask_user")


async def _repeated(unit: Unit, place: _Place, call: Call, known: KnownCall) -> _Kept:
    await store.repeat(unit, known.id, attempt=place.run.attempt)
    waits = known.answer_to is AnswerTo.TOOL and known.answer is None
    return _Kept(_answer(call, known, duplicate=True), known, waits=waits)


async def _require_room(unit: Unit, place: _Place, call: Call) -> None:
    if call.tool in domain.QUESTIONS and place.state.session.life is SessionLife.ARCHIVED:
        raise Stale(Code.SESSION_ARCHIVED, "un-archive the session to go on with it")
    if await store.count(unit, place.run.id) >= domain.MAX_CALLS:
        raise BerthError(
            Code.CONFLICT, f"this run has said {domain.MAX_CALLS} different things already"
        )


def _tell(place: _Place, call: Call, caller: Caller, request: RequestRow | None) -> None:
    """Of a run that is over nothing follows: then it is the session that tells it."""
    run = place.run if place.live else None
    accepted = ToolAccepted(
        tool=call.tool,
        text=call.words,
        request_id=None if request is None else request.id,
        by=caller.user_id,
    )
    place.state.tell(accepted, run=run, project=True)
    if request is not None:
        place.state.tell(asks.requested(request), run=run, project=True)


async def _move_task(unit: Unit, place: _Place, call: Call) -> None:
    """By the projector, as a run's end does; what it would pass over is refused here."""
    change = domain.after_the_end(call, place.run)
    if change is None:
        return
    task = await store.task(unit.connection, change.task_id)
    if task is None or task_changes.is_stale(task, change, newer=False):
        raise Stale(
            Code.ILLEGAL_TRANSITION,
            "somebody has settled the task, or a later run is at it",
            state="" if task is None else task.state.value,
        )
    place.state.tasks.append(change)


async def _audit(unit: Unit, place: _Place, call: Call, caller: Caller) -> None:
    await audit.record(
        unit,
        place.run.project_id,
        actor=caller.user_id,
        action=f"tool.{call.tool}",
        target=str(place.run.id),
        detail={
            "worker": None if caller.worker_id is None else str(caller.worker_id),
            "attempt": place.run.attempt,
            "key": call.key,
        },
    )


def _undecided(place: _Place, known: KnownCall) -> RequestRow | None:
    """Its question, while nothing else has settled where the answer goes."""
    for request in place.state.requests:
        open_yet = request.state in asks.OPEN and request.answer_to is AnswerTo.TOOL
        if request.id == known.request_id and request.run_id == place.run.id and open_yet:
            return request
    return None


async def _take(unit: Unit, place: _Place, known: KnownCall, request: RequestRow) -> None:
    request.state = RequestState.DELIVERED
    request.delivered_epoch = place.state.session.epoch
    request.delivered_attempt = place.run.attempt
    await store.answer(unit, known.id, questions.words(request))


def _answer(call: Call, known: KnownCall, *, duplicate: bool) -> ToolAnswer:
    """As things stand."""
    text = domain.told(call.tool)
    if known.answer is not None:
        text = domain.answered(known.answer)
    elif known.request_state is RequestState.WITHDRAWN:
        text = domain.WITHDRAWN
    return ToolAnswer(
        accepted=True,
        duplicate=duplicate,
        text=text,
        request_id=known.request_id,
        answer=known.answer,
    )
