"""A tool call of the scripted agent: what it shows, what it does, and what came of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from scripted.rpc import Params


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """`content` is in the protocol's shape; `raw_output` is what the tool gave."""

    status: str
    content: list[Params]
    raw_output: object


@dataclass(frozen=True, slots=True)
class ToolCall:
    title: str
    kind: str
    raw_input: Params
    run: Callable[[], Awaitable[ToolOutcome]]


def text_content(text: str) -> list[Params]:
    return [{"type": "content", "content": {"type": "text", "text": text}}]
