"""Anthropic's Messages API, as far as an agent's CLI uses it."""

import json
from collections.abc import Iterator
from typing import cast

from scripted.scenario import Said, Tokens
from scripted.wire import Answer, Event, Json, ToolCall, inside, slices, text_of, words

PREFIX = "msg_"
END = b""
REQUEST_ID = "request-id"
SIGNATURE = "c2NyaXB0ZWQ="
_ERRORS = {
    401: "authentication_error", 403: "permission_error", 404: "not_found_error",
    413: "request_too_large", 429: "rate_limit_error", 529: "overloaded_error",
}  # fmt: skip


def conversation_of(request: Json) -> list[Said]:
    return [said for message in request.get("messages", []) for said in _said(message)]


def tools_of(request: Json) -> list[str]:
    tools: list[Json] = request.get("tools") or []
    return [str(tool.get("name")) for tool in tools]


def schema_of(request: Json) -> Json | None:
    newer = inside(request, "output_config", "format", "schema")
    return newer or inside(request, "output_format", "schema")


def error_body(status: int, message: str, request_id: str) -> Json:
    kind = _ERRORS.get(status, "invalid_request_error" if status < 500 else "api_error")
    error = {"type": kind, "message": message}
    return {"type": "error", "error": error, "request_id": request_id}


def failure(answer: Answer) -> Event:
    return Event(error_body(529, "Overloaded", f"req_{answer.id}"), name="error")


def events(_request: Json, answer: Answer) -> Iterator[Event]:
    used = answer.reply.usage
    told = Tokens(used.input, 1, used.cached)
    begun = _message(answer, [], usage=_usage(used, 1))
    yield _event("message_start", told=told, message=begun)
    yield _event("ping")
    index = 0
    if answer.reply.think:
        yield from _thoughts(index, answer.reply.think)
        index += 1
    if answer.reply.text:
        deltas = [{"type": "text_delta", "text": word} for word in words(answer.reply.text)]
        yield from _block(index, {"type": "text", "text": ""}, deltas)
        index += 1
    for call in answer.calls:
        start: Json = {**_tool_use(call), "input": {}}
        parts = slices(json.dumps(_arguments(call)))
        deltas = [{"type": "input_json_delta", "partial_json": part} for part in parts]
        yield from _block(index, start, deltas)
        index += 1
    delta = {"stop_reason": _stop_reason(answer), "stop_sequence": None}
    yield _event("message_delta", told=used, delta=delta, usage=_final_usage(used))
    yield _event("message_stop")


def whole(_request: Json, answer: Answer) -> Json:
    reply = answer.reply
    content: list[Json] = []
    if reply.think:
        content.append({"type": "thinking", "thinking": reply.think, "signature": SIGNATURE})
    if reply.text:
        content.append({"type": "text", "text": reply.text})
    content += [{**_tool_use(call), "input": _arguments(call)} for call in answer.calls]
    message = _message(answer, content, usage=_final_usage(reply.usage))
    return {**message, "stop_reason": _stop_reason(answer)}


def _message(answer: Answer, content: list[Json], *, usage: Json) -> Json:
    return {
        "id": answer.id,
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def _usage(used: Tokens, output: int) -> Json:
    return {
        "input_tokens": used.input - used.written,
        "cache_creation_input_tokens": used.written,
        "cache_read_input_tokens": used.cached,
        "output_tokens": output,
    }


def _final_usage(used: Tokens) -> Json:
    usage = _usage(used, used.output)
    if used.thought:
        usage["output_tokens_details"] = {"thinking_tokens": used.thought}
    return usage


def _stop_reason(answer: Answer) -> str:
    return "tool_use" if answer.calls else "end_turn"


def _tool_use(call: ToolCall) -> Json:
    return {"type": "tool_use", "id": f"toolu_{call.id.removeprefix('call_')}", "name": call.name}


def _arguments(call: ToolCall) -> object:
    return {"input": call.arguments} if call.free_form else json.loads(call.arguments)


def _thoughts(index: int, text: str) -> Iterator[Event]:
    start = {"type": "thinking", "thinking": "", "signature": ""}
    yield _event("content_block_start", index=index, content_block=start)
    for word in words(text):
        delta = {"type": "thinking_delta", "thinking": word}
        yield _event("content_block_delta", piece=True, index=index, delta=delta)
    delta = {"type": "signature_delta", "signature": SIGNATURE}
    yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _block(index: int, start: Json, deltas: list[Json]) -> Iterator[Event]:
    yield _event("content_block_start", index=index, content_block=start)
    for delta in deltas:
        yield _event("content_block_delta", piece=True, index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _event(
    kind: str, /, *, piece: bool = False, told: Tokens | None = None, **fields: object
) -> Event:
    return Event({"type": kind, **fields}, name=kind, piece=piece, told=told)


def _said(message: Json) -> list[Said]:
    """A user's message may be tool results, text, or both."""
    role = str(message.get("role"))
    content = message.get("content")
    blocks = cast("list[Json]", content) if isinstance(content, list) else []
    results = [block for block in blocks if block.get("type") == "tool_result"]
    said = [Said("tool", json.dumps(block.get("content"))) for block in results]
    text = text_of(cast("object", message.get("content")))
    # what comes with a result is a reminder of the agent's own, unless a person wrote a script
    if not results or "<<SCRIPT" in text:
        said.append(Said(role, text))
    return said
