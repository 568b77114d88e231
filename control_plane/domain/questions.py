"""Questions that agents ask by a tool of the platform, and the words of their answers. Pure.

Such a question does not hold its run up. Its answer goes to the call of `ask_user` that waits for
it, else it begins the session's next turn: one of the two, once.
"""

import hashlib
from collections.abc import Sequence
from uuid import UUID

import msgspec

from chassis.ids import new_id
from contracts.events import AskOption
from contracts.human_loop import Reply, RequestState
from contracts.tools import Tool
from control_plane.domain.session_state import AnswerTo, RequestRow, RunRow

DECISIONS = {"allow": "Yes.", "reject": "The person declined to answer."}


def new(run: RunRow, tool: Tool, question: str, options: Sequence[str]) -> RequestRow:
    request_id: UUID = new_id()
    given = {"question": question, "options": list(options)}
    return RequestRow(
        id=request_id,
        project_id=run.project_id,
        session_id=run.session_id,
        run_id=run.id,
        attempt=run.attempt,
        ask_id=request_id,
        type="question",
        state=RequestState.PENDING,
        title=question,
        tool=tool,
        input=given,
        input_hash=hashlib.sha256(msgspec.json.encode([tool, given])).hexdigest(),
        options=[AskOption(id=str(n), name=name) for n, name in enumerate(options, start=1)],
        form=None,
        answer_to=AnswerTo.TOOL if tool == "ask_user" else AnswerTo.MESSAGE,
    )


def meant(request: RequestRow, reply: Reply) -> Reply:
    """A text that is an option's number or its words chooses that option."""
    text = (reply.text or "").strip()
    options: list[AskOption] = request.options
    for option in options if reply.option_id is None and text else []:
        if text in {option.id, option.name}:
            return msgspec.structs.replace(reply, option_id=option.id, text=None)
    return reply


def in_words(reply: Reply) -> Reply:
    """A bare decision said as a text, for it is read by somebody who asked no permission."""
    if reply.decision is None or reply.text is not None or reply.content is not None:
        return reply
    return msgspec.structs.replace(reply, text=DECISIONS[reply.decision])


def words(request: RequestRow) -> str:
    """What the person answered, for the agent."""
    chosen = next((o.name for o in request.options if o.id == request.option_id), "")
    form = "" if request.content is None else msgspec.json.encode(request.content).decode()
    return "\n".join(part for part in (chosen, request.text or "", form) if part)


def as_message(request: RequestRow) -> str:
    return f"You asked:\n{request.title}\n\nThe answer:\n{words(request)}"
