"""The protocol's session updates as far as we read them: unknown fields are ignored, odd values
kept out.

Our own types, not the SDK's: that one drops update kinds, content types and enum values it does not
know, and the protocol moves.
"""

from typing import Any

import msgspec


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    pass


class Content(Wire, frozen=True, kw_only=True):
    """`type` is text, image, audio, resource, resource_link, or one of tomorrow."""

    type: str = ""
    text: str = ""


class Chunk(Wire, frozen=True, kw_only=True):
    content: Content
    message_id: str | None = None


class PlanEntry(Wire, frozen=True, kw_only=True):
    content: str
    status: str = "pending"
    priority: str = "medium"


class Plan(Wire, frozen=True, kw_only=True):
    entries: list[PlanEntry]


class TodoInput(Wire, frozen=True, kw_only=True):
    """The input of OpenCode's `todowrite`."""

    todos: list[PlanEntry]


class ToolContent(Wire, frozen=True, kw_only=True):
    """`type` is content, diff or terminal; the fields of the other types stay empty."""

    type: str = ""
    content: Content | None = None
    path: str = ""
    old_text: str | None = None
    new_text: str = ""

    @property
    def is_diff(self) -> bool:
        return self.type == "diff"


class Location(Wire, frozen=True, kw_only=True):
    path: str = ""


class TerminalDelta(msgspec.Struct, frozen=True):
    data: str = ""


class TerminalExit(msgspec.Struct, frozen=True):
    exit_code: int | None = None


class ToolMeta(msgspec.Struct, frozen=True):
    """Codex sends a command's output and exit code here and nowhere else."""

    terminal_output_delta: TerminalDelta | None = None
    terminal_exit: TerminalExit | None = None


class Tool(Wire, frozen=True, kw_only=True):
    """A `tool_call` or `tool_call_update`: what is None was not told this time."""

    tool_call_id: str
    title: str | None = None
    name: str | None = None
    kind: str | None = None
    status: str | None = None
    raw_input: Any = None
    raw_output: Any = None
    content: list[ToolContent] | None = None
    locations: list[Location] | None = None
    meta: ToolMeta | None = msgspec.field(default=None, name="_meta")


class Cost(Wire, frozen=True, kw_only=True):
    amount: float = 0.0
    currency: str = "USD"


class Usage(Wire, frozen=True, kw_only=True):
    used: int | None = None
    size: int | None = None
    cost: Cost | None = None
    meta: dict[str, Any] | None = msgspec.field(default=None, name="_meta")


class TurnUsage(Wire, frozen=True, kw_only=True):
    """`usage` of a prompt's result; of OpenCode only the turn's last model call."""

    input_tokens: int = 0
    output_tokens: int = 0
    thought_tokens: int | None = None
    cached_read_tokens: int | None = None


class PromptResult(Wire, frozen=True, kw_only=True):
    stop_reason: str
    usage: TurnUsage | None = None


class ThreadStatus(msgspec.Struct, frozen=True):
    type: str = ""


class CodexInfo(Wire, frozen=True, kw_only=True):
    thread_status: ThreadStatus | None = None


class InfoMeta(msgspec.Struct, frozen=True):
    codex: CodexInfo | None = None


class SessionInfo(Wire, frozen=True, kw_only=True):
    meta: InfoMeta | None = msgspec.field(default=None, name="_meta")


class PermissionOption(Wire, frozen=True, kw_only=True):
    option_id: str
    name: str = ""
    kind: str = ""


class Permission(Wire, frozen=True, kw_only=True):
    tool_call: Tool
    options: list[PermissionOption]


class Elicitation(Wire, frozen=True, kw_only=True):
    message: str
    mode: str = "form"
    requested_schema: Any = None


class ConfigChoice(Wire, frozen=True, kw_only=True):
    """A value, or a group of values."""

    value: str = ""
    options: "list[ConfigChoice]" = msgspec.field(default_factory=list["ConfigChoice"])


class ConfigOption(Wire, frozen=True, kw_only=True):
    id: str
    category: str | None = None
    current_value: Any = None
    options: list[ConfigChoice] = msgspec.field(default_factory=list[ConfigChoice])


class SessionOpened(Wire, frozen=True, kw_only=True):
    """The answer to session/new, session/load and session/resume."""

    session_id: str | None = None
    config_options: list[ConfigOption] | None = None


class SessionCapabilities(Wire, frozen=True, kw_only=True):
    resume: Any = None
    list: Any = None
    close: Any = None


class McpCapabilities(Wire, frozen=True, kw_only=True):
    http: bool = False


class PromptCapabilities(Wire, frozen=True, kw_only=True):
    image: bool = False


class AgentCapabilities(Wire, frozen=True, kw_only=True):
    load_session: bool = False
    prompt_capabilities: PromptCapabilities = PromptCapabilities()
    mcp_capabilities: McpCapabilities = McpCapabilities()
    session_capabilities: SessionCapabilities = SessionCapabilities()


class Initialized(Wire, frozen=True, kw_only=True):
    protocol_version: int
    agent_capabilities: AgentCapabilities = AgentCapabilities()
    agent_info: Any = None
