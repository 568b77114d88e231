"""What agents say by the tools of the platform, and what it means for their run. Pure.

Nothing that is said ends a run: its turn's end does, and then what was said last counts.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import assert_never
from uuid import UUID

import msgspec

from contracts.human_loop import RequestState
from contracts.reasons import Reason
from contracts.tasks import TaskState
from contracts.tools import BlockTask, FinishTask, RequestInput, Tool
from control_plane.domain.session_state import AnswerTo, RequestRow, RunRow, TaskChange
from control_plane.domain.words import storable

ASK_SECONDS = 45.0
"""How long `ask_user` waits: some agents give a call up after 60."""

MAX_CALLS = 200
"""Different calls in one run; more of them is an agent that has lost its way."""

QUESTIONS: frozenset[Tool] = frozenset({"request_input", "ask_user"})

STOP = "End your turn now, without calling any other tool."

FINISHED = f"Noted: the work is done, and goes to review when this turn has ended. {STOP}"
BLOCKED = f"Noted: the work is blocked, and somebody will look at it. {STOP}"
ASKED = (
    "Asked. Nobody has answered yet; the answer comes as a new message, to which you can go on. "
    f"{STOP}"
)
WITHDRAWN = f"The question was withdrawn: the run was canceled. {STOP}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a tool, from whichever side it came."""

    tool: Tool
    words: str
    """The summary, the reason, or the question."""
    options: Sequence[str] = ()
    key: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """A call as it is kept."""

    tool: Tool
    words: str
    request_id: UUID | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What follows for a run that ends now."""

    blocked: bool = False
    words: str | None = None
    """Why, or the summary."""
    asks: bool = False
    """A question is open that was asked after these words, if any were said."""


def call(tool: Tool, words: str, options: Sequence[str] = (), *, key: str | None) -> Call:
    """Without a key, the same words are the same call."""
    if key is None:
        content = msgspec.json.encode([tool, words, list(options)])
        key = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return Call(
        tool=tool,
        words=storable(words),
        options=[storable(option) for option in options],
        key=storable(key),
    )


def call_of(body: FinishTask | BlockTask | RequestInput) -> Call:
    match body:
        case FinishTask():
            return call("finish_task", body.summary, key=body.key)
        case BlockTask():
            return call("block_task", body.reason, key=body.key)
        case RequestInput():
            return call("request_input", body.question, body.options, key=body.key)
        case _:
            assert_never(body)


def verdict(said: Iterable[Said], open_questions: Collection[UUID]) -> Verdict:
    """`said` in order. A question that was answered meanwhile, or in time, changes nothing."""
    now = Verdict()
    for one in said:
        match one.tool:
            case "finish_task":
                now = Verdict(words=one.words)
            case "block_task":
                now = Verdict(blocked=True, words=one.words)
            case "request_input" | "ask_user":
                if one.request_id in open_questions:
                    now = Verdict(words=None if now.blocked else now.words, asks=True)
            case _:
                assert_never(one.tool)
    return now


def open_questions(requests: Iterable[RequestRow]) -> set[UUID]:
    return {
        request.id
        for request in requests
        if request.state is RequestState.PENDING and request.answer_to is not AnswerTo.RUN
    }


def after_the_end(call: Call, run: RunRow) -> TaskChange | None:
    """What a call does to the task of a run that is over."""
    if run.task_id is None:
        return None
    cause = f"tool.{call.tool}"
    match call.tool:
        case "finish_task":
            reason, to = Reason.COMPLETED, TaskState.REVIEW
        case "block_task":
            reason, to = Reason.BLOCKED_BY_AGENT, TaskState.BLOCKED
        case "request_input" | "ask_user":
            return TaskChange(run.task_id, run.id, run.state, to=TaskState.WAITING, cause=cause)
        case _:
            assert_never(call.tool)
    return TaskChange(
        run.task_id, run.id, run.state, reason, to=to, summary=call.words, cause=cause
    )


def told(tool: Tool) -> str:
    """What a call answers at once, of a question that nobody has answered yet."""
    match tool:
        case "finish_task":
            return FINISHED
        case "block_task":
            return BLOCKED
        case "request_input" | "ask_user":
            return ASKED
        case _:
            assert_never(tool)


def answered(words: str) -> str:
    return f"The person answered:\n{words}"
