"""What the relay says of an attempt's model calls, against what its agent says.

An agent may hide that an answer was cut or refused, and end its turn as if nothing had happened.
The relay has seen every answer. It is asked before the agent starts, and again when no process of
the agent is left: what is open then ends at once, and a cut that the agent saw is recorded before
it could see it.
"""

from dataclasses import dataclass, replace

from chassis.logs import get_logger
from contracts.reasons import Reason
from contracts.relay import RELAY_STREAMS, AskStreams, RelayStreams, StreamCut, StreamRefused
from executor.agents.listener import Loopback
from executor.services.runs.outcome import Finish
from executor.services.worker import Worker

MODELS = "models"
ANSWERS = frozenset({"/v1/messages", "/v1/responses", "/v1/chat/completions"})
"""Where a model says what the agent then does; counting tokens or embedding text is beside it."""

SETTLED_SECONDS = 2.0
"""For requests that were open when the agent ended."""
PAUSE = 0.02

DOUBTED = frozenset(
    {Reason.COMPLETED, Reason.AGENT_ERROR, Reason.AGENT_CRASHED, Reason.AGENT_SILENT}
    | {Reason.MODEL_UNAUTHORIZED, Reason.MODEL_NOT_FOUND, Reason.MODEL_RATE_LIMITED}
    | {Reason.MODEL_UNAVAILABLE, Reason.MODEL_BAD_REQUEST}
)
"""What an agent says, or what becomes of it, when its model fails. The rest is known otherwise."""

_BY_STATUS = {
    401: Reason.MODEL_UNAUTHORIZED,
    402: Reason.MODEL_UNAUTHORIZED,  # an account without money is the key's owner's matter too
    403: Reason.MODEL_UNAUTHORIZED,
    404: Reason.MODEL_NOT_FOUND,
    408: Reason.MODEL_UNAVAILABLE,
    425: Reason.MODEL_UNAVAILABLE,
    429: Reason.MODEL_RATE_LIMITED,
}

_log = get_logger()


@dataclass(frozen=True, slots=True)
class _Before:
    boot: str
    last: int
    taken: int
    ends: int


class ModelPath:
    """Of one attempt."""

    def __init__(self, worker: Worker) -> None:
        self._relay = worker.relay
        self._clock = worker.clock
        self._loopback = worker.loopback
        self._before: _Before | None = None

    async def begin(self) -> None:
        """Before there is a process of the agent. Waits for a relay that is away."""
        if self._loopback is not None:
            told = await self._ask(0)
            self._before = _mark(told, self._loopback)

    async def judged(self, finish: Finish | None) -> Finish | None:
        """When no process of the agent is left. None: it was ended from outside."""
        before, loopback = self._before, self._loopback
        if finish is None or before is None or loopback is None or not _is_doubted(finish):
            return finish
        if loopback.taken == before.taken:
            return finish  # it asked for nothing: what became of the relay is no matter
        told = await self._settled(before)
        if cut := _cut(before, _mark(told, loopback), told.cuts):
            return _failed(finish, Reason.MODEL_STREAM_CUT, cut)
        if (refused := _refused(told.refused)) is not None:
            what = f"the last answer to {refused.path} was {refused.status}"
            return _failed(finish, reason_of_status(refused.status), what)
        return finish

    async def _settled(self, before: _Before) -> RelayStreams:
        ends = self._clock.monotonic() + SETTLED_SECONDS
        while True:
            told = await self._ask(before.last)
            if told.boot != before.boot:
                # numbers began anew: all of them are of this attempt
                told = await self._ask(0)
            if told.open == 0:
                return told
            if self._clock.monotonic() > ends:
                _log.warning("model_calls_outlive_their_agent", open=told.open)
                return told
            await self._clock.sleep(PAUSE)

    async def _ask(self, after: int) -> RelayStreams:
        return await self._relay.call_until_answered(RELAY_STREAMS, AskStreams(after=after))


def reason_of_status(status: int) -> Reason:
    """Of an answer that was no success."""
    otherwise = Reason.MODEL_BAD_REQUEST if status < 500 else Reason.MODEL_UNAVAILABLE
    return _BY_STATUS.get(status, otherwise)


def _is_doubted(finish: Finish) -> bool:
    return finish.state in {"succeeded", "failed"} and finish.reason in DOUBTED


def _mark(told: RelayStreams, loopback: Loopback) -> _Before:
    return _Before(told.boot, told.last, loopback.taken, loopback.ends)


def _cut(before: _Before, now: _Before, cuts: list[StreamCut]) -> str:
    """What was cut and never came whole; empty: nothing."""
    if now.boot != before.boot:
        return "the relay was restarted meanwhile, and what was open was cut"
    if now.ends != before.ends:
        return "the agent's way to the relay was broken, and what was open was cut"
    for cut in cuts:
        if cut.upstream == MODELS and cut.path in ANSWERS and not cut.answered_since:
            return f"an answer to {cut.path} was cut by the {cut.cut_by} and did not come again"
    return ""


def _refused(refused: list[StreamRefused]) -> StreamRefused | None:
    """The last answer to the agent's work, if it was no success."""
    of_work = [
        one
        for one in refused
        if one.upstream == MODELS
        and one.path in ANSWERS
        and not one.answered_since
        and not one.larger_answered
    ]
    return of_work[-1] if of_work else None


def _failed(finish: Finish, reason: Reason, what: str) -> Finish:
    _log.warning("model_path_failed", reason=reason, detail=what)
    detail = f"{what}; the agent said: {finish.detail}" if finish.detail else what
    return replace(finish, state="failed", reason=reason, detail=detail)
