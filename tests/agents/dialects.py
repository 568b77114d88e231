"""Each agent's own tools: the replies of a model that make it act, and what it looks like inside.

Seen in the tools that each pinned version offers to its model; a new version is looked at again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, assert_never

from tests.agents.acts import (
    WORKSPACE,
    Act,
    Edit,
    Fail,
    Hang,
    Plan,
    Question,
    Say,
    Shell,
    Tool,
    Write,
)
from tests.system.visitor import script

Reply = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """Of one agent."""

    name: str
    processes: tuple[str, ...]
    """Words in the command lines of its processes, as the engine lists them."""
    replies: Callable[[Act], list[Reply]]
    reads_model: bool = True
    """It asks a model at all."""
    format: str = ""
    """The wire format that it speaks with its model."""

    def prompt(self, *acts: Act, said: str = "Do this.") -> str:
        return script(*(reply for act in acts for reply in self.replies(act)), said=said)


def _common(act: Say | Fail | Hang) -> list[Reply]:
    match act:
        case Say():
            reply: Reply = {"think": act.think, "text": act.text, "delay": act.delay}
            reply |= {"die_after": act.cut_after, "times": act.cut_times, "usage": act.usage}
            return [{name: value for name, value in reply.items() if value}]
        case Fail():
            return [{"status": act.status, "text": "better", "times": act.times}]
        case Hang():
            return [{"hang": act.seconds, "text": "late"}]
        case _:
            assert_never(act)


def _calling(tools: Callable[[Any], list[list[Any]]]) -> Callable[[Act], list[Reply]]:
    """A reply for each tool call; several calls are made one after the other."""

    def replies(act: Act) -> list[Reply]:
        if isinstance(act, Say | Fail | Hang):
            return _common(act)
        before = {"text": act.said} if isinstance(act, Shell) and act.said else {}
        return [{**before, "tools": [call]} for call in tools(act)]

    return replies


def _at(path: str) -> str:
    return f"{WORKSPACE}/{path}"


def _claude(act: Write | Edit | Shell | Plan | Question | Tool) -> list[list[Any]]:
    match act:
        case Write():
            return [["Write", {"file_path": _at(act.path), "content": act.content}]]
        case Edit():
            change = {"old_string": act.old, "new_string": act.new}
            return [["Edit", {"file_path": _at(act.path), **change}]]
        case Shell():
            return [["Bash", {"command": act.command, "description": "As it was told"}]]
        case Plan():
            made = {"subject": act.entry, "description": act.entry, "activeForm": act.entry}
            under_way = {"taskId": "1", "status": "in_progress"}
            return [["TaskCreate", made], ["TaskUpdate", under_way]]
        case Question():
            options = [{"label": one, "description": one} for one in act.options]
            asked = {"question": act.text, "header": "Port", "options": options}
            return [["AskUserQuestion", {"questions": [{**asked, "multiSelect": False}]}]]
        case Tool():
            name = f"mcp__platform__{act.name}"
            looked = {"query": f"select:{name}", "max_results": 1}
            return [["ToolSearch", looked], [name, act.arguments]]
        case _:
            assert_never(act)


def _codex(act: Write | Edit | Shell | Plan | Question | Tool) -> list[list[Any]]:
    """Its own sandbox has no namespaces inside of ours: in a mode that asks, what it wants to run
    has to be escalated, and is asked. It takes `apply_patch` for its own tool wherever it stands.
    """
    match act:
        case Write():
            lines = "\n".join(f"+{line}" for line in act.content.splitlines())
            return [["exec_command", {"cmd": _patch(f"*** Add File: {act.path}\n{lines}")}]]
        case Edit():
            change = f"*** Update File: {act.path}\n@@\n-{act.old}\n+{act.new}"
            return [["exec_command", {"cmd": _patch(change)}]]
        case Shell():
            asks = {"sandbox_permissions": "require_escalated", "justification": "As it was told"}
            return [["exec_command", {"cmd": act.command, **(asks if act.ask else {})}]]
        case Plan():
            return [["update_plan", {"plan": [{"step": act.entry, "status": "in_progress"}]}]]
        case Question():
            options = [{"label": one, "description": one} for one in act.options]
            asked = {"id": "port", "header": "Port", "question": act.text, "options": options}
            return [["request_user_input", {"questions": [asked]}]]
        case Tool():
            return [[act.name, act.arguments, "mcp__platform"]]
        case _:
            assert_never(act)


def _patch(change: str) -> str:
    return f"apply_patch <<'EOF'\n*** Begin Patch\n{change}\n*** End Patch\nEOF\n"


def _opencode(act: Write | Edit | Shell | Plan | Question | Tool) -> list[list[Any]]:
    match act:
        case Write():
            return [["write", {"filePath": _at(act.path), "content": act.content}]]
        case Edit():
            change = {"oldString": act.old, "newString": act.new}
            return [["edit", {"filePath": _at(act.path), **change}]]
        case Shell():
            return [["bash", {"command": act.command, "description": "As it was told"}]]
        case Plan():
            entry = {"content": act.entry, "status": "in_progress", "priority": "medium"}
            return [["todowrite", {"todos": [{"id": "1", **entry}]}]]
        case Question():
            options = [{"label": one, "description": one} for one in act.options]
            asked = {"question": act.text, "header": "Port", "options": options}
            return [["question", {"questions": [asked]}]]
        case Tool():
            return [[f"platform_{act.name}", act.arguments]]
        case _:
            assert_never(act)


def _kimi(act: Write | Edit | Shell | Plan | Question | Tool) -> list[list[Any]]:
    """Kimi Code's, of deploy/examples."""
    match act:
        case Write():
            return [["Write", {"path": _at(act.path), "content": act.content}]]
        case Edit():
            change = {"old_string": act.old, "new_string": act.new}
            return [["Edit", {"path": _at(act.path), **change}]]
        case Shell():
            return [["Bash", {"command": act.command}]]
        case Plan():
            return [["TodoList", {"todos": [{"title": act.entry, "status": "in_progress"}]}]]
        case Question():
            options = [{"label": one, "description": one} for one in act.options]
            asked = {"question": act.text, "header": "Port", "options": options}
            return [["AskUserQuestion", {"questions": [asked]}]]
        case Tool():
            return [[f"mcp__platform__{act.name}", act.arguments]]
        case _:
            assert_never(act)


def _scripted(act: Act) -> list[Reply]:
    """The steps are its own; it asks a model only for what may go wrong with one."""
    if isinstance(act, Fail | Hang) or (isinstance(act, Say) and act.cut_after is not None):
        return [{"model": {"replies": _common(act)}}]
    if isinstance(act, Say):
        said = [{"think": act.think}] if act.think else []
        return [*said, {"text": f"{act.text}\n", "delay": act.delay}]
    before = [{"text": f"{act.said}\n"}] if isinstance(act, Shell) and act.said else []
    return [*before, _step(act)]


def _step(act: Write | Edit | Shell | Plan | Question | Tool) -> Reply:
    match act:
        case Write():
            return {"write": {"path": act.path, "content": act.content}}
        case Edit():
            return {"write": {"path": act.path, "content": f"{act.new}\n"}}
        case Shell():
            return {"shell": act.command, "ask": act.ask}
        case Plan():
            return {"plan": [{"content": act.entry, "status": "in_progress"}]}
        case Question():
            return {"ask_user": act.text}
        case Tool():
            raise ValueError("the scripted agent speaks no MCP")
        case _:
            assert_never(act)


DIALECTS = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            name="claude-code",
            processes=("claude",),
            replies=_calling(_claude),
            format="messages",
        ),
        Dialect(name="codex", processes=("codex",), replies=_calling(_codex), format="responses"),
        Dialect(
            name="opencode", processes=("opencode",), replies=_calling(_opencode), format="chat"
        ),
        Dialect(name="kimi", processes=("kimi",), replies=_calling(_kimi), format="chat"),
        Dialect(name="scripted", processes=("scripted",), replies=_scripted, reads_model=False),
    )
}
REAL = ("claude-code", "codex", "opencode")
