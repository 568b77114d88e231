"""Answers of the four wire formats, as far as metering looks into them: every field may be missing.

What cannot be read says nothing: it is passed on all the same, and whoever asked judges it.
"""

import enum
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from contracts.models import WireFormat

MOST = 10**12
"""Tokens of one call: what says more is wrong, and must not overflow a sum."""

T = TypeVar("T")

Count = int | None


class Said(enum.Enum):
    MORE = enum.auto()
    WHOLE = enum.auto()
    FAILED = enum.auto()
    """Whole, and the provider says that it could not answer."""


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """None: nothing was said of it."""

    input_tokens: Count = None
    output_tokens: Count = None
    cached_tokens: Count = None
    thought_tokens: Count = None

    def then(self, later: "Spent") -> "Spent":
        return Spent(
            input_tokens=_newer(self.input_tokens, later.input_tokens),
            output_tokens=_newer(self.output_tokens, later.output_tokens),
            cached_tokens=_newer(self.cached_tokens, later.cached_tokens),
            thought_tokens=_newer(self.thought_tokens, later.thought_tokens),
        )


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What one event, or a whole answer, tells."""

    said: Said = Said.MORE
    provider_id: str = ""
    spent: Spent = Spent()
    final: bool = False
    """`spent` is the provider's last word."""
    text_bytes: int = 0


NOTHING = Part()


class _Loose(msgspec.Struct, frozen=True):
    pass


# --- Messages -----------------------------------------------------------------------------------


class _MessagesThoughts(_Loose, frozen=True):
    thinking_tokens: Count = None


class _MessagesUsage(_Loose, frozen=True):
    input_tokens: Count = None
    output_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None
    output_tokens_details: _MessagesThoughts | None = None

    def spent(self) -> Spent:
        thought = self.output_tokens_details
        return Spent(
            input_tokens=_sum(self.input_tokens, self.cache_creation_input_tokens),
            output_tokens=_count(self.output_tokens),
            cached_tokens=_count(self.cache_read_input_tokens),
            thought_tokens=_count(thought.thinking_tokens) if thought else None,
        )


class _Message(_Loose, frozen=True):
    id: str | None = None
    usage: _MessagesUsage | None = None


class _MessagesDelta(_Loose, frozen=True):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class _MessagesEvent(_Loose, frozen=True):
    type: str = ""
    message: _Message | None = None
    usage: _MessagesUsage | None = None
    delta: _MessagesDelta | None = None


_messages_event = msgspec.json.Decoder(_MessagesEvent)
_message = msgspec.json.Decoder(_Message)


def _read_messages(data: bytes) -> Part:
    event = _read(_messages_event, data)
    if event is None:
        return NOTHING
    match event.type:
        case "message_start":
            return _message_part(event.message)
        case "content_block_delta" if event.delta is not None:
            delta = event.delta
            return Part(text_bytes=_bytes(delta.text, delta.thinking, delta.partial_json))
        case "message_delta" if event.usage is not None:
            return Part(spent=event.usage.spent(), final=True)
        case "message_stop":
            return Part(said=Said.WHOLE)
        case _:
            return NOTHING


def _read_message(body: bytes) -> Part | None:
    message = _read(_message, body)
    if message is None:
        return None
    part = _message_part(message)
    return msgspec.structs.replace(
        part, said=Said.WHOLE, final=message.usage is not None, text_bytes=len(body)
    )


def _message_part(message: _Message | None) -> Part:
    if message is None:
        return NOTHING
    spent = message.usage.spent() if message.usage else Spent()
    return Part(provider_id=message.id or "", spent=spent)


# --- Responses ----------------------------------------------------------------------------------


class _CachedTokens(_Loose, frozen=True):
    cached_tokens: Count = None


class _ThoughtTokens(_Loose, frozen=True):
    reasoning_tokens: Count = None


class _ResponsesUsage(_Loose, frozen=True):
    input_tokens: Count = None
    input_tokens_details: _CachedTokens | None = None
    output_tokens: Count = None
    output_tokens_details: _ThoughtTokens | None = None

    def spent(self) -> Spent:
        return _spent(
            self.input_tokens,
            self.output_tokens,
            self.input_tokens_details,
            self.output_tokens_details,
        )


class _Response(_Loose, frozen=True):
    id: str | None = None
    status: str | None = None
    usage: _ResponsesUsage | None = None


class _ResponsesEvent(_Loose, frozen=True):
    type: str = ""
    response: _Response | None = None
    delta: Any = None
    """A text in most events, an object in few."""


_responses_event = msgspec.json.Decoder(_ResponsesEvent)
_response = msgspec.json.Decoder(_Response)

_ENDS = {
    "response.completed": Said.WHOLE,
    "response.incomplete": Said.WHOLE,
    "response.failed": Said.FAILED,
}


def _read_responses(data: bytes) -> Part:
    event = _read(_responses_event, data)
    if event is None:
        return NOTHING
    if event.response is None:
        return Part(text_bytes=_bytes(event.delta))
    return _response_part(event.response, _ENDS.get(event.type, Said.MORE))


def _read_response(body: bytes) -> Part | None:
    response = _read(_response, body)
    if response is None:
        return None
    said = Said.FAILED if response.status == "failed" else Said.WHOLE
    return msgspec.structs.replace(_response_part(response, said), text_bytes=len(body))


def _response_part(response: _Response, said: Said) -> Part:
    usage = response.usage
    return Part(
        said=said,
        provider_id=response.id or "",
        spent=usage.spent() if usage else Spent(),
        final=said is not Said.MORE and usage is not None,
    )


# --- Chat completions, embeddings ---------------------------------------------------------------


class _ChatUsage(_Loose, frozen=True):
    prompt_tokens: Count = None
    prompt_tokens_details: _CachedTokens | None = None
    completion_tokens: Count = None
    completion_tokens_details: _ThoughtTokens | None = None

    def spent(self) -> Spent:
        return _spent(
            self.prompt_tokens,
            self.completion_tokens,
            self.prompt_tokens_details,
            self.completion_tokens_details,
        )


class _Function(_Loose, frozen=True):
    arguments: str | None = None


class _ToolCall(_Loose, frozen=True):
    function: _Function | None = None


class _ChatDelta(_Loose, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None

    def text_bytes(self) -> int:
        told = _bytes(self.content, self.reasoning_content or self.reasoning)
        calls = [call.function for call in self.tool_calls or [] if call.function]
        return told + _bytes(*(function.arguments for function in calls))


class _Choice(_Loose, frozen=True):
    delta: _ChatDelta | None = None


class _Chunk(_Loose, frozen=True):
    id: str | None = None
    choices: list[_Choice] | None = None
    usage: _ChatUsage | None = None


class _Completion(_Loose, frozen=True):
    """Of embeddings too."""

    id: str | None = None
    usage: _ChatUsage | None = None


_chunk = msgspec.json.Decoder(_Chunk)
_completion = msgspec.json.Decoder(_Completion)


def _read_chunk(data: bytes) -> Part:
    if data.strip() == b"[DONE]":
        return Part(said=Said.WHOLE)
    chunk = _read(_chunk, data)
    if chunk is None:
        return NOTHING
    deltas = [choice.delta for choice in chunk.choices or [] if choice.delta]
    return Part(
        provider_id=chunk.id or "",
        spent=chunk.usage.spent() if chunk.usage else Spent(),
        final=chunk.usage is not None,
        text_bytes=sum(delta.text_bytes() for delta in deltas),
    )


def _read_completion(body: bytes) -> Part | None:
    part = _read_embeddings(body)
    return None if part is None else msgspec.structs.replace(part, text_bytes=len(body))


def _read_embeddings(body: bytes) -> Part | None:
    found = _read(_completion, body)
    if found is None:
        return None
    return Part(
        said=Said.WHOLE,
        provider_id=found.id or "",
        spent=found.usage.spent() if found.usage else Spent(),
        final=found.usage is not None,
    )


STREAMED: Mapping[WireFormat, Callable[[bytes], Part]] = {
    "messages": _read_messages,
    "responses": _read_responses,
    "chat": _read_chunk,
}
WHOLE: Mapping[WireFormat, Callable[[bytes], Part | None]] = {
    "messages": _read_message,
    "responses": _read_response,
    "chat": _read_completion,
    "embeddings": _read_embeddings,
}
"""None: it is not what was asked for."""


def _spent(
    given: Count, made: Count, cached: _CachedTokens | None, thought: _ThoughtTokens | None
) -> Spent:
    """As OpenAI counts: what was read from a cache is among the input."""
    read = _count(cached.cached_tokens) if cached else None
    whole = _count(given)
    return Spent(
        input_tokens=None if whole is None else max(0, whole - (read or 0)),
        output_tokens=_count(made),
        cached_tokens=read,
        thought_tokens=_count(thought.reasoning_tokens) if thought else None,
    )


def _read(decoder: msgspec.json.Decoder[T], data: bytes) -> T | None:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _newer(earlier: Count, later: Count) -> Count:
    return earlier if later is None else later


def _count(value: Count) -> Count:
    return None if value is None else min(max(value, 0), MOST)


def _sum(one: Count, other: Count) -> Count:
    return None if one is None else (_count(one) or 0) + (_count(other) or 0)


def _bytes(*texts: object) -> int:
    return sum(len(text.encode()) for text in texts if isinstance(text, str))
