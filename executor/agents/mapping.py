"""The agent's updates of one turn as events of ours: a state machine over raw messages, without
I/O.

It never raises: what it does not understand becomes a `run.log`, so that nothing an agent sends is
lost in silence or ends a run.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import msgspec

from contracts.events import (
    Event,
    MessageDelta,
    MessageStop,
    RunLog,
    ThoughtDelta,
    TodoEntry,
    TodoUpdate,
    UsageUpdate,
)
from executor.agents.profile import Quirks
from executor.agents.text import bounded, clean, hold_back
from executor.agents.tools import OpenCall
from executor.agents.updates import (
    Chunk,
    Plan,
    PlanEntry,
    SessionInfo,
    TodoInput,
    Tool,
    TurnUsage,
    Usage,
)

QUIET_KINDS = frozenset(
    {
        "user_message_chunk",
        "available_commands_update",
        "current_mode_update",
        "config_option_update",
    }
)
"""Known, and of no interest to a reader of the run."""

MAX_MESSAGE = 4 * 1024 * 1024
"""Bytes of one message, as JSON, that are kept as a whole: it has to fit into one report."""
JSON_CHARACTER = 6
"""Bytes at most."""

TodoStatus = Literal["pending", "in_progress", "completed"]
TodoPriority = Literal["high", "medium", "low"]
Message = dict[str, Any]


class Mapper:
    def __init__(self, quirks: Quirks | None = None) -> None:
        self.text = ""
        """The last whole message: the run's output."""
        self.system_error = False
        """Codex says so just before it ends a failed turn as if it had succeeded."""
        self.steps = 0
        """What the agent said, thought and began, counted: whether it went on after something."""
        self._quirks = quirks or Quirks()
        self._calls: dict[str, OpenCall] = {}
        self._ended_calls: set[str] = set()
        self._cost: float | None = None
        self._message_ids: dict[tuple[str, str], int] = {}
        self._message = ""
        """The open message's id as the agent says it."""
        self._message_id = ""
        """And as we say it; empty while no message is open."""
        self._parts: list[str] = []
        self._room = MAX_MESSAGE
        self._lost = 0
        self._thought_id = ""
        self._held = ""
        self._handlers: dict[str, Callable[[Message], list[Event]]] = {
            "agent_message_chunk": self._message_chunk,
            "agent_thought_chunk": self._thought_chunk,
            "tool_call": self._tool,
            "tool_call_update": self._tool,
            "plan": self._plan,
            "usage_update": self._usage,
            "session_info_update": self._info,
        }

    def update(self, update: Message) -> list[Event]:
        """The events of one `session/update`, in order."""
        kind = str(update.get("sessionUpdate"))
        if kind in QUIET_KINDS:
            return []
        handler = self._handlers.get(kind)
        if handler is None:
            return [_note(f"The agent sent an update of an unknown kind: {kind}", update)]
        try:
            return handler(update)
        except msgspec.ValidationError as error:
            return [_note(f"The agent sent a malformed {kind}: {error}", update)]

    def asked(self, tool: Tool) -> list[Event]:
        """A permission request tells about its tool call, sometimes for the first time."""
        return self._close_message() + self._tool_events(tool)

    def finish(self) -> list[Event]:
        """At the turn's end: the open message is whole, and no tool call stays open."""
        events: list[Event] = [*self._close_message()]
        events += [call.result("canceled") for call in self._calls.values()]
        self._calls.clear()
        return events

    def usage(self, usage: TurnUsage) -> UsageUpdate:
        return UsageUpdate(
            source="reported",
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_read_tokens or 0,
            thought_tokens=usage.thought_tokens or 0,
            cost_usd=self._cost,
        )

    # Text

    def _message_chunk(self, update: Message) -> list[Event]:
        chunk = msgspec.convert(update, Chunk)
        if chunk.content.type != "text":
            return [_note(f"The agent sent content of type {chunk.content.type}", update)]
        events: list[Event] = []
        if self._message_id and chunk.message_id not in {None, self._message}:
            events += self._close_message()
        if not self._message_id:
            self._thought_id = ""
            self._message = chunk.message_id or "message"
            self._message_id = self._unique("message", self._message)
        text, self._held = hold_back(self._held + chunk.content.text)
        if text := clean(text):
            self.steps += 1
            self._collect(text)
            events.append(MessageDelta(message_id=self._message_id, text=text))
        return events

    def _thought_chunk(self, update: Message) -> list[Event]:
        chunk = msgspec.convert(update, Chunk)
        events = self._close_message()
        if not self._thought_id:
            self._thought_id = self._unique("thought", chunk.message_id or "thought")
        if text := clean(chunk.content.text):
            self.steps += 1
            events.append(ThoughtDelta(message_id=self._thought_id, text=text))
        return events

    def _close_message(self) -> list[Event]:
        held, self._held = clean(self._held), ""
        message_id, self._message_id = self._message_id, ""
        events: list[Event] = []
        if held:
            self._collect(held)
            events.append(MessageDelta(message_id=message_id, text=held))
        if self._parts:
            self.text = "".join(self._parts)
            if self._lost:
                self.text += f"\n[… {self._lost} more characters were cut]"
            self._parts, self._room, self._lost = [], MAX_MESSAGE, 0
            events.append(MessageStop(message_id=message_id, text=self.text))
        return events

    def _collect(self, text: str) -> None:
        kept = text
        if len(msgspec.json.encode(text)) > self._room:
            kept = text[: self._room // JSON_CHARACTER]
            self._room = 0
        self._parts.append(kept)
        self._lost += len(text) - len(kept)
        self._room = max(0, self._room - len(msgspec.json.encode(kept)))

    def _unique(self, kind: str, message_id: str) -> str:
        """An agent goes on with the same id after a tool call; our message ended there."""
        key = (kind, message_id)
        count = self._message_ids[key] = self._message_ids.get(key, 0) + 1
        return clean(message_id if count == 1 else f"{message_id}#{count}")

    # Tools

    def _tool(self, update: Message) -> list[Event]:
        tool = msgspec.convert(update, Tool)
        self._thought_id = ""
        return self._close_message() + self._tool_events(tool)

    def _tool_events(self, tool: Tool) -> list[Event]:
        call_id = clean(tool.tool_call_id)
        if call_id in self._ended_calls:
            return []
        events = self._todos(tool)
        call = self._calls.get(call_id)
        if call is None:
            self.steps += 1
            call = self._calls[call_id] = OpenCall(call_id, self._quirks.written_file)
            events.append(call.begin(tool))
        if (event := call.take(tool)) is not None:
            events.append(event)
        if tool.status in {"completed", "failed"}:
            del self._calls[call_id]
            self._ended_calls.add(call_id)
        return events

    def call(self, call_id: str) -> OpenCall:
        """A tool call as it is known by now; an empty one if it is not open."""
        call_id = clean(call_id)
        return self._calls.get(call_id) or OpenCall(call_id)

    @property
    def open_calls(self) -> int:
        return len(self._calls)

    # The rest

    def _todos(self, tool: Tool) -> list[Event]:
        if not self._quirks.todos_in_tool_input:
            return []
        try:
            return [_todo_update(msgspec.convert(tool.raw_input, TodoInput).todos)]
        except msgspec.ValidationError:
            return []

    def _plan(self, update: Message) -> list[Event]:
        return [*self._close_message(), _todo_update(msgspec.convert(update, Plan).entries)]

    def _usage(self, update: Message) -> list[Event]:
        usage = msgspec.convert(update, Usage)
        if usage.cost is not None and usage.cost.currency == "USD":
            self._cost = usage.cost.amount
        model = (usage.meta or {}).get("_claude/model")
        return [
            UsageUpdate(
                source="reported",
                model=clean(model) if isinstance(model, str) else "",
                context_used=usage.used,
                context_size=usage.size,
                cost_usd=self._cost,
            )
        ]

    def _info(self, update: Message) -> list[Event]:
        meta = msgspec.convert(update, SessionInfo).meta
        status = meta.codex.thread_status if meta is not None and meta.codex is not None else None
        if status is not None and status.type == "systemError":
            self.system_error = True
        return []


def _todo_update(entries: list[PlanEntry]) -> TodoUpdate:
    return TodoUpdate(
        entries=[
            TodoEntry(
                content=clean(entry.content),
                status=_known(entry.status, TodoStatus, default="pending"),
                priority=_known(entry.priority, TodoPriority, default="medium"),
            )
            for entry in entries
        ]
    )


def _known(value: str, choices: object, *, default: str) -> Any:  # noqa: ANN401 - one of the choices
    return value if value in get_args(choices) else default


def _note(text: str, update: Message) -> RunLog:
    return RunLog(level="debug", text=clean(text), data={"update": bounded(update)})
