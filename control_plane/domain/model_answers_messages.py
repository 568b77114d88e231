"""Answers of the Messages format."""

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
    total,
)


class _Thoughts(msgspec.Struct, frozen=True):
    thinking_tokens: Count = None


class _Usage(msgspec.Struct, frozen=True):
    input_tokens: Count = None
    output_tokens: Count = None
    cache_read_input_tokens: Count = None
    cache_creation_input_tokens: Count = None
    output_tokens_details: _Thoughts | None = None

    def spent(self) -> Spent:
        thought = self.output_tokens_details
        return Spent(
            input_tokens=total(self.input_tokens, self.cache_creation_input_tokens),
            output_tokens=count(self.output_tokens),
            cached_tokens=count(self.cache_read_input_tokens),
            thought_tokens=count(thought.thinking_tokens) if thought else None,
        )


class _Message(msgspec.Struct, frozen=True):
    id: str | None = None
    usage: _Usage | None = None


class _Delta(msgspec.Struct, frozen=True):
    text: str | None = None
    thinking: str | None = None
    partial_json: str | None = None


class _Event(msgspec.Struct, frozen=True):
    type: str = ""
    message: _Message | None = None
    usage: _Usage | None = None
    delta: _Delta | None = None


_event = msgspec.json.Decoder(_Event)
_message = msgspec.json.Decoder(_Message)


def read_event(data: bytes) -> Part:
    event = read(_event, data)
    if event is None:
        return NOTHING
    match event.type:
        case "message_start":
            return _message_part(event.message)
        case "content_block_delta" if event.delta is not None:
            delta = event.delta
            return Part(text_bytes=size_of(delta.text, delta.thinking, delta.partial_json))
        case "message_delta" if event.usage is not None:
            return Part(spent=event.usage.spent(), final=True)
        case "message_stop":
            return Part(said=Said.WHOLE)
        case _:
            return NOTHING


def read_answer(body: bytes) -> Part | None:
    message = read(_message, body)
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
