"""What the three wire formats have in common: each is a module with the functions of `Wire`."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast
from uuid import uuid4

from scripted.scenario import Call, Reply, Said, Tokens

Json = dict[str, Any]

_DIRECTORIES = (
    re.compile(r"<cwd>([^<]+)</cwd>"),
    re.compile(r"working directory(?: is)?:?\s*`?(/[^\s`\"\\<]+)", re.IGNORECASE),
)


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    data: Json
    name: str = ""
    piece: bool = False
    """Something that the model says; these are counted and `delay` seconds apart."""
    told: Tokens | None = None
    """The usage that a client knows once it has this."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    id: str
    name: str
    namespace: str
    arguments: str
    """JSON, or what a free-form tool takes."""
    free_form: bool


@dataclass(frozen=True, slots=True)
class Answer:
    id: str
    created: int
    """Seconds since 1970."""
    model: str
    reply: Reply
    calls: list[ToolCall]


class Wire(Protocol):
    @property
    def PREFIX(self) -> str:  # noqa: N802 - a module's constant
        """Of its answers' ids."""
        ...

    @property
    def END(self) -> bytes:  # noqa: N802 - the same
        """What follows the last event."""
        ...

    @property
    def REQUEST_ID(self) -> str:  # noqa: N802 - the same
        """The header of an answer that carries the request's id."""
        ...

    def conversation_of(self, request: Json, /) -> list[Said]: ...
    def tools_of(self, request: Json, /) -> list[str]: ...
    def schema_of(self, request: Json, /) -> Json | None:
        """What the answer has to look like, if the request says so."""
        ...

    def events(self, request: Json, answer: Answer, /) -> Iterator[Event]: ...
    def whole(self, request: Json, answer: Answer, /) -> Json:
        """The same answer without streaming."""
        ...

    def failure(self, answer: Answer, /) -> Event:
        """Instead of what should have followed in a stream."""
        ...

    def error_body(self, status: int, message: str, request_id: str, /) -> Json: ...


def answer_of(request: Json, reply: Reply, *, answer_id: str, created: int) -> Answer:
    cwd = directory_of(request)
    calls = [_tool_call(call, cwd) for call in reply.tools]
    model = str(request.get("model", ""))
    return Answer(answer_id, created, model, reply, calls)


def directory_of(request: Json) -> str:
    """Where the agent says that it works; empty if it does not."""
    told = json.dumps(request, ensure_ascii=False).replace("\\n", "\n")
    found = (pattern.search(told) for pattern in _DIRECTORIES)
    return next((match[1].rstrip(".") for match in found if match), "")


def inside(request: Json, *path: str) -> Json | None:
    """The object at this path, if there is one."""
    found: Any = request
    for name in path:
        found = cast("Json", found).get(name) if isinstance(found, dict) else None
    return cast("Json", found) if isinstance(found, dict) else None


def text_of(content: object) -> str:
    """Of a text, or of blocks of which some are text."""
    if isinstance(content, str):
        return content
    blocks = cast("list[Json]", content) if isinstance(content, list) else []
    return "\n".join(str(block["text"]) for block in blocks if isinstance(block.get("text"), str))


def words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*", text) or ([text] if text else [])


def slices(text: str, size: int = 40) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)] or [""]


def sse(event: Event) -> bytes:
    named = f"event: {event.name}\n" if event.name else ""
    return f"{named}data: {json.dumps(event.data)}\n\n".encode()


def _tool_call(call: Call, cwd: str) -> ToolCall:
    free_form = isinstance(call.arguments, str)
    arguments = (
        _in_directory(call.arguments, cwd)
        if isinstance(call.arguments, str)
        else json.dumps(_in_directory(call.arguments, cwd))
    )
    return ToolCall(f"call_{uuid4().hex}", call.name, call.namespace, arguments, free_form)


def _in_directory(value: Any, cwd: str) -> Any:  # noqa: ANN401 - any JSON
    """`{cwd}` in each of its texts."""
    if isinstance(value, str):
        return value.replace("{cwd}", cwd)
    if isinstance(value, list):
        return [_in_directory(one, cwd) for one in cast("list[Any]", value)]
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        return {name: _in_directory(one, cwd) for name, one in items}
    return value
