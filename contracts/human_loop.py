"""Human-loop requests: permissions and questions; durable, answered once, only by a person."""

import datetime
import enum
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from contracts.events import AskOption
from contracts.runs import Page
from contracts.wire import Body, Wire


class RequestState(enum.StrEnum):
    PENDING = "pending"
    ANSWERED = "answered"
    """Decided, not yet taken by an executor."""
    DELIVERED = "delivered"
    """Taken: used at most once, never carried over."""
    WITHDRAWN = "withdrawn"


class Reply(Body, frozen=True, kw_only=True):
    """For a permission: `option_id`, or `decision` which picks the matching option.

    For a question: `text` or `content`.
    """

    option_id: Annotated[str, msgspec.Meta(max_length=200)] | None = None
    decision: Literal["allow", "reject"] | None = None
    text: Annotated[str, msgspec.Meta(max_length=100_000)] | None = None
    content: dict[str, Any] | None = None


class HumanLoopRequest(Wire, frozen=True, kw_only=True):
    id: UUID
    session_id: UUID
    run_id: UUID
    project_id: UUID
    type: Literal["permission", "question"]
    state: RequestState
    title: str
    tool: str
    input: Any
    """Of the tool; where the agent tells none, `{"diffs": [...]}`, `{"text": ...}` or both."""
    input_hash: str
    options: list[AskOption]
    form: Any = None
    attempt: int
    deadline: datetime.datetime | None = None
    """A hint: overdue stays answerable."""
    overdue: bool = False
    option_id: str | None = None
    option_kind: str | None = None
    text: str | None = None
    decided_by: UUID | None = None
    decided_at: datetime.datetime | None = None
    created_at: datetime.datetime


class RequestPage(Page, frozen=True, kw_only=True):
    items: list[HumanLoopRequest]


class Replied(Wire, frozen=True, kw_only=True):
    request: HumanLoopRequest
    duplicate: bool = False
    """It had been answered before; `request` shows that first answer."""
