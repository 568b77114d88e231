"""Answers of the formats that OpenAI made: responses, chat completions, embeddings."""

from typing import Any

import msgspec

from control_plane.domain.model_answers import (
    NOTHING,
    Count,
    Part,
    Said,
    Spent,
    count,
    read,
    size_of,
)


class _CachedTokens(msgspec.Struct, frozen=True):
    cached_tokens: Count = None


class _ThoughtTokens(msgspec.Struct, frozen=True):
    reasoning_tokens: Count = None


def _spent(
    given: Count, made: Count, cached: _CachedTokens | None, thought: _ThoughtTokens | None
) -> Spent:
    """As OpenAI counts: what was read from a cache is among the input."""
    cached_tokens = count(cached.cached_tokens) if cached else None
    whole = count(given)
    return Spent(
        input_tokens=None if whole is None else max(0, whole - (cached_tokens or 0)),
        output_tokens=count(made),
        cached_tokens=cached_tokens,
        thought_tokens=count(thought.reasoning_tokens) if thought else None,
    )


# --- Responses ----------------------------------------------------------------------------------


class _ResponsesUsage(msgspec.Struct, frozen=True):
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


class _Response(msgspec.Struct, frozen=True):
    id: str | None = None
    status: str | None = None
    usage: _ResponsesUsage | None = None


class _ResponsesEvent(msgspec.Struct, frozen=True):
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


def read_responses_event(data: bytes) -> Part:
    event = read(_responses_event, data)
    if event is None:
        return NOTHING
    if event.response is None:
        return Part(text_bytes=size_of(event.delta))
    return _response_part(event.response, _ENDS.get(event.type, Said.MORE))


def read_response(body: bytes) -> Part | None:
    response = read(_response, body)
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


class _ChatUsage(msgspec.Struct, frozen=True):
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


class _Function(msgspec.Struct, frozen=True):
    arguments: str | None = None


class _ToolCall(msgspec.Struct, frozen=True):
    function: _Function | None = None


class _ChatDelta(msgspec.Struct, frozen=True):
    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    tool_calls: list[_ToolCall] | None = None

    def text_bytes(self) -> int:
        told = size_of(self.content, self.reasoning_content or self.reasoning)
        calls = [call.function for call in self.tool_calls or [] if call.function]
        return told + size_of(*(function.arguments for function in calls))


class _Choice(msgspec.Struct, frozen=True):
    delta: _ChatDelta | None = None


class _Chunk(msgspec.Struct, frozen=True):
    id: str | None = None
    choices: list[_Choice] | None = None
    usage: _ChatUsage | None = None


class _Completion(msgspec.Struct, frozen=True):
    """Of embeddings too."""

    id: str | None = None
    usage: _ChatUsage | None = None


_chunk = msgspec.json.Decoder(_Chunk)
_completion = msgspec.json.Decoder(_Completion)


def read_chunk(data: bytes) -> Part:
    if data.strip() == b"[DONE]":
        return Part(said=Said.WHOLE)
    chunk = read(_chunk, data)
    if chunk is None:
        return NOTHING
    deltas = [choice.delta for choice in chunk.choices or [] if choice.delta]
    return Part(
        provider_id=chunk.id or "",
        spent=chunk.usage.spent() if chunk.usage else Spent(),
        final=chunk.usage is not None,
        text_bytes=sum(delta.text_bytes() for delta in deltas),
    )


def read_completion(body: bytes) -> Part | None:
    part = read_embeddings(body)
    return None if part is None else msgspec.structs.replace(part, text_bytes=len(body))


def read_embeddings(body: bytes) -> Part | None:
    found = read(_completion, body)
    if found is None:
        return None
    return Part(
        said=Said.WHOLE,
        provider_id=found.id or "",
        spent=found.usage.spent() if found.usage else Spent(),
        final=found.usage is not None,
    )
