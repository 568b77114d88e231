"""What the platform gives to every agent as a tool, over MCP, HTTP and the command line alike."""

from typing import Annotated, Literal
from uuid import UUID

import msgspec

from contracts.wire import Body, Wire

Words = Annotated[str, msgspec.Meta(min_length=1, max_length=20_000)]
CallKey = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class ToolCall(Body, frozen=True, kw_only=True):
    """`session_id`: whose work it is about. Over MCP the session is known, and the field absent."""

    session_id: UUID
    key: CallKey | None = None
    """The same key with the same tool in the same run is the same call: it gives the first answer
    again. Left out: the hash of its arguments is the key."""


class FinishTask(ToolCall, frozen=True, kw_only=True):
    """The work is done: the task goes to `review` when the run ends well."""

    summary: Words


class BlockTask(ToolCall, frozen=True, kw_only=True):
    """The work cannot go on without somebody: the run ends as `blocked` with this reason."""

    reason: Words


class RequestInput(ToolCall, frozen=True, kw_only=True):
    """Asks a person and does not wait: the answer begins a new turn of the session."""

    question: Words
    options: Annotated[list[Words], msgspec.Meta(max_length=20)] = msgspec.field(
        default_factory=list[str]
    )


class ToolAnswer(Wire, frozen=True, kw_only=True):
    accepted: bool
    duplicate: bool = False
    text: str
    """For the agent: what happened, and what to do now."""
    request_id: UUID | None = None
    """Of the human-loop request that `request_input` and `ask_user` made."""
    answer: str | None = None
    """Of `ask_user`, when a person was quick."""


Tool = Literal["finish_task", "block_task", "request_input", "ask_user"]
