"""OpenAI's Chat Completions API, with what others added to it: `reasoning_content`.

As with OpenAI, a stream tells its usage only to whoever asks for it (`stream_options`).
"""

from collections.abc import Iterator
from typing import cast

from scripted import openai_error
from scripted.scenario import Said
from scripted.wire import Answer, Event, Json, ToolCall, inside, slices, text_of, words

PREFIX = "chatcmpl-"
END = b"data: [DONE]\n\n"
REQUEST_ID = openai_error.REQUEST_ID
error_body = openai_error.error_body


def conversation_of(request: Json) -> list[Said]:
    messages: list[Json] = request.get("messages") or []
    return [Said(str(message.get("role")), text_of(message.get("content"))) for message in messages]


def tools_of(request: Json) -> list[str]:
    tools: list[Json] = request.get("tools") or []
    return [str(_function(tool).get("name") or tool.get("type")) for tool in tools]


def schema_of(request: Json) -> Json | None:
    return inside(request, "response_format", "json_schema", "schema")


def events(request: Json, answer: Answer) -> Iterator[Event]:
    asked = inside(request, "stream_options") or {}
    wants_usage = bool(asked.get("include_usage"))
    for delta, piece in _deltas(answer):
        yield Event(_chunk(answer, delta, wants_usage=wants_usage), piece=piece)
    reason = _finish_reason(answer)
    yield Event(_chunk(answer, {}, finish_reason=reason, wants_usage=wants_usage))
    if wants_usage:
        last: Json = {**_chunk(answer, {}), "choices": [], "usage": _usage(answer)}
        yield Event(last, told=answer.reply.usage)


def whole(_request: Json, answer: Answer) -> Json:
    reply = answer.reply
    message: Json = {"role": "assistant", "content": reply.text or None, "refusal": None}
    if reply.think:
        message["reasoning_content"] = reply.think
    if answer.calls:
        message["tool_calls"] = [_called(call, call.arguments) for call in answer.calls]
    choice = {"index": 0, "message": message, "logprobs": None}
    return {
        **_head(answer, "chat.completion"),
        "choices": [{**choice, "finish_reason": _finish_reason(answer)}],
        "usage": _usage(answer),
    }


def failure(answer: Answer) -> Event:
    return Event(error_body(500, "The server had an error", answer.id))


def _deltas(answer: Answer) -> Iterator[tuple[Json, bool]]:
    yield {"role": "assistant", "content": ""}, False
    for word in words(answer.reply.think):
        yield {"reasoning_content": word}, True
    for word in words(answer.reply.text):
        yield {"content": word}, True
    for index, call in enumerate(answer.calls):
        yield {"tool_calls": [{"index": index, **_called(call, "")}]}, False
        for part in slices(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}, True


def _chunk(
    answer: Answer, delta: Json, *, finish_reason: str | None = None, wants_usage: bool = False
) -> Json:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    chunk = {**_head(answer, "chat.completion.chunk"), "choices": [choice]}
    return {**chunk, "usage": None} if wants_usage else chunk


def _head(answer: Answer, kind: str) -> Json:
    named = {"id": answer.id, "object": kind, "created": answer.created, "model": answer.model}
    return {**named, "service_tier": "default", "system_fingerprint": "fp_scripted"}


def _called(call: ToolCall, arguments: str) -> Json:
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _finish_reason(answer: Answer) -> str:
    return "tool_calls" if answer.calls else "stop"


def _usage(answer: Answer) -> Json:
    used = answer.reply.usage
    taken = used.input + used.cached
    return {
        "prompt_tokens": taken,
        "completion_tokens": used.output,
        "total_tokens": taken + used.output,
        "prompt_tokens_details": {
            "cached_tokens": used.cached,
            "cache_write_tokens": used.written,
        },
        "completion_tokens_details": {"reasoning_tokens": used.thought},
    }


def _function(tool: Json) -> Json:
    return cast("Json", tool.get("function") or {})
