"""OpenAI's Responses API, as far as an agent's CLI uses it: the server keeps nothing."""

import itertools
import json
from collections.abc import Iterator
from typing import cast

from scripted import openai_error
from scripted.scenario import Said, Tokens
from scripted.wire import Answer, Event, Json, ToolCall, inside, slices, text_of, words

PREFIX = "resp_"
END = b""
REQUEST_ID = openai_error.REQUEST_ID
error_body = openai_error.error_body

_CALLS = {"function_call", "custom_tool_call", "local_shell_call", "tool_search_call"}
_RESULTS = {"function_call_output", "custom_tool_call_output", "tool_search_output"}


def conversation_of(request: Json) -> list[Said]:
    return [said for item in _input(request) for said in _said(item)]


def tools_of(request: Json) -> list[str]:
    """Tools may also come as an item of the conversation."""
    tools: list[Json] = list(request.get("tools") or [])
    for item in _input(request):
        if item.get("type") == "additional_tools":
            tools += cast("list[Json]", item.get("tools") or [])
    return [str(tool.get("name") or tool.get("type")) for tool in tools]


def schema_of(request: Json) -> Json | None:
    return inside(request, "text", "format", "schema")


def events(request: Json, answer: Answer) -> Iterator[Event]:
    numbers = itertools.count()
    for event in _events(request, answer):
        event.data["sequence_number"] = next(numbers)
        yield event


def whole(request: Json, answer: Answer) -> Json:
    return _completed(answer, _output(request, answer))


def failure(answer: Answer) -> Event:
    error = {"code": "server_error", "message": "The server had an error"}
    response = {**_response(answer, status="failed"), "error": error}
    return _event("response.failed", response=response)


def _events(request: Json, answer: Answer) -> Iterator[Event]:
    for kind in ("response.created", "response.in_progress"):
        yield _event(kind, response=_response(answer, status="in_progress"))
    output = _output(request, answer)
    for index, item in enumerate(output):
        started: Json
        match item["type"]:
            case "reasoning":
                inside = _reasoning(item, index)
                started = {**item, "summary": []}
            case "message":
                inside = _message(item, index)
                started = {**item, "status": "in_progress", "content": []}
            case kind:
                field = "arguments" if kind == "function_call" else "input"
                inside = _call(item, index, field)
                started = {**item, "status": "in_progress", field: ""}
        yield _event("response.output_item.added", output_index=index, item=started)
        yield from inside
        yield _event("response.output_item.done", output_index=index, item=item)
    response = _completed(answer, output)
    yield _event("response.completed", told=answer.reply.usage, response=response)


def _reasoning(item: Json, index: int) -> Iterator[Event]:
    at: Json = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    part = item["summary"][0]
    kind = "response.reasoning_summary"
    yield _event(f"{kind}_part.added", **at, part={**part, "text": ""})
    for word in words(part["text"]):
        yield _event(f"{kind}_text.delta", piece=True, **at, delta=word)
    yield _event(f"{kind}_text.done", **at, text=part["text"])
    yield _event(f"{kind}_part.done", **at, part=part)


def _message(item: Json, index: int) -> Iterator[Event]:
    at: Json = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part = item["content"][0]
    yield _event("response.content_part.added", **at, part={**part, "text": ""})
    for word in words(part["text"]):
        yield _event("response.output_text.delta", piece=True, **at, delta=word, logprobs=[])
    yield _event("response.output_text.done", **at, text=part["text"], logprobs=[])
    yield _event("response.content_part.done", **at, part=part)


def _call(item: Json, index: int, field: str) -> Iterator[Event]:
    at: Json = {"item_id": item["id"], "output_index": index}
    kind = {"arguments": "response.function_call_arguments"}.get(
        field, "response.custom_tool_call_input"
    )
    for part in slices(item[field]):
        yield _event(f"{kind}.delta", piece=True, **at, delta=part)
    ended: Json = {**at, field: item[field]}
    if field == "arguments":
        ended["name"] = item["name"]
    yield _event(f"{kind}.done", **ended)


def _output(request: Json, answer: Answer) -> list[Json]:
    key = answer.id.removeprefix(PREFIX)
    output: list[Json] = []
    if answer.reply.think:
        summary = [{"type": "summary_text", "text": answer.reply.think}]
        thought: Json = {"type": "reasoning", "id": f"rs_{key}", "summary": summary}
        if "reasoning.encrypted_content" in (request.get("include") or []):
            thought["encrypted_content"] = "c2NyaXB0ZWQ="
        output.append(thought)
    if text := answer.reply.text:
        part: Json = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
        message = {"type": "message", "id": f"msg_{key}", "role": "assistant"}
        output.append({**message, "status": "completed", "content": [part]})
    output += [_called(call) for call in answer.calls]
    return output


def _called(call: ToolCall) -> Json:
    named: Json = {"call_id": call.id, "name": call.name, "status": "completed"}
    if call.namespace:
        named["namespace"] = call.namespace
    key = call.id.removeprefix("call_")
    if call.free_form:
        return {"type": "custom_tool_call", "id": f"ctc_{key}", "input": call.arguments, **named}
    return {"type": "function_call", "id": f"fc_{key}", "arguments": call.arguments, **named}


def _completed(answer: Answer, output: list[Json]) -> Json:
    used = answer.reply.usage
    taken = used.input + used.cached
    usage = {
        "input_tokens": taken,
        "input_tokens_details": {
            "cached_tokens": used.cached,
            "cache_write_tokens": used.written,
        },
        "output_tokens": used.output,
        "output_tokens_details": {"reasoning_tokens": used.thought},
        "total_tokens": taken + used.output,
    }
    return {**_response(answer, status="completed"), "output": output, "usage": usage}


def _response(answer: Answer, *, status: str) -> Json:
    return {
        "id": answer.id, "object": "response", "created_at": answer.created, "status": status,
        "background": False, "error": None, "incomplete_details": None, "instructions": None,
        "max_output_tokens": None, "metadata": {}, "model": answer.model, "output": [],
        "parallel_tool_calls": True, "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None}, "service_tier": "default", "store": False,
        "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto",
        "tools": [], "top_p": 1.0, "truncation": "disabled", "usage": None, "user": None,
    }  # fmt: skip


def _event(
    kind: str, /, *, piece: bool = False, told: Tokens | None = None, **fields: object
) -> Event:
    return Event({"type": kind, **fields}, name=kind, piece=piece, told=told)


def _input(request: Json) -> list[Json]:
    told = request.get("input")
    if isinstance(told, str):
        return [{"type": "message", "role": "user", "content": told}]
    return cast("list[Json]", told or [])


def _said(item: Json) -> list[Said]:
    kind = item.get("type", "message")
    if kind in _CALLS:
        return [Said("assistant", f"{item.get('name', kind)} {item.get('arguments', '')}".strip())]
    if kind in _RESULTS:
        told = item.get("output")
        return [Said("tool", told if isinstance(told, str) else json.dumps(told))]
    if kind == "message":
        return [Said(str(item.get("role")), text_of(item.get("content")))]
    return []
