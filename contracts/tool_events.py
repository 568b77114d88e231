"""`tool.*`: what agents do with tools of their own, and what they say by those of the platform."""

from typing import Any, Literal
from uuid import UUID

import msgspec

from contracts.event import Event
from contracts.tools import Tool
from contracts.wire import Wire


class ToolDiff(Wire, frozen=True, kw_only=True):
    path: str
    old_text: str | None = None
    new_text: str


class ToolCall(Event, frozen=True, kw_only=True, tag="tool.call"):
    call_id: str
    title: str
    tool: str = ""
    """The agent's own name of the tool, when it says one."""
    tool_kind: str = "other"
    """ACP's: read, edit, delete, move, search, execute, think, fetch, switch_mode, other."""
    input: Any = None
    paths: list[str] = msgspec.field(default_factory=list[str])


class ToolUpdate(Event, frozen=True, kw_only=True, tag="tool.update"):
    call_id: str
    title: str | None = None
    status: str | None = None
    input: Any = None
    output_delta: str = ""
    diffs: list[ToolDiff] = msgspec.field(default_factory=list[ToolDiff])


class ToolResult(Event, frozen=True, kw_only=True, tag="tool.result"):
    call_id: str
    status: Literal["completed", "failed", "canceled"]
    output: str = ""
    truncated: bool = False
    exit_code: int | None = None
    diffs: list[ToolDiff] = msgspec.field(default_factory=list[ToolDiff])


class ToolAccepted(Event, frozen=True, kw_only=True, tag="tool.accepted"):
    """A tool of the platform was called, and what it asks is done or will be at the run's end."""

    tool: Tool
    text: str
    """The summary, the reason, or the question."""
    request_id: UUID | None = None
    """Of a question: the human-loop request that it became."""
    by: UUID | None = None
    """Who called it over the API; None: the agent."""
