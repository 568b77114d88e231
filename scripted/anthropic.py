"""Anthropic's Messages API, as far as an agent's CLI uses it: read a request, stream an answer."""

import json
import re
from collections.abc import Iterator
from typing import Any, cast
from uuid import uuid4

from scripted.replies import Reply, Said, in_directory

Json = dict[str, Any]
Event = tuple[str, Json]

_CWD = re.compile(r"[Ww]orking directory:\s*(\S+)")


def conversation_of(request: Json) -> list[Said]:
    return [said for message in request.get("messages", []) for said in _said(message)]


def directory_of(request: Json) -> str:
    """Where the agent says that it works; empty if it does not."""
    told = json.dumps([request.get("system"), request.get("messages")], ensure_ascii=False)
    match = _CWD.search(told.replace("\\n", "\n"))
    return match[1] if match else ""


def is_side_call(request: Json) -> bool:
    """Titles and the like: calls without tools."""
    return not request.get("tools")


def error_body(status: int) -> Json:
    kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "api_error")
    return {"type": "error", "error": {"type": kind, "message": f"scripted {status}"}}


def events(request: Json, reply: Reply) -> Iterator[Event]:
    spent, answered, cached = reply.usage
    yield _event("message_start", message=_head(request, spent, cached))
    index = 0
    if reply.think:
        yield from _block(index, {"type": "thinking", "thinking": "", "signature": ""}, [
            *({"type": "thinking_delta", "thinking": word} for word in words(reply.think)),
            {"type": "signature_delta", "signature": "c2NyaXB0ZWQ="},
        ])  # fmt: skip
        index += 1
    if reply.text:
        deltas = [{"type": "text_delta", "text": word} for word in words(reply.text)]
        yield from _block(index, {"type": "text", "text": ""}, deltas)
        index += 1
    for name, arguments in reply.tools:
        told = json.dumps(in_directory(arguments, directory_of(request)))
        start: Json = {"type": "tool_use", "id": f"toolu_{uuid4().hex}", "name": name, "input": {}}
        yield from _block(index, start, [{"type": "input_json_delta", "partial_json": told}])
        index += 1
    stop = "tool_use" if reply.tools else "end_turn"
    yield _event(
        "message_delta",
        delta={"stop_reason": stop, "stop_sequence": None},
        usage={"output_tokens": answered},
    )
    yield _event("message_stop")


def whole(request: Json, reply: Reply) -> Json:
    """The same answer without streaming."""
    spent, answered, cached = reply.usage
    message = _head(request, spent, cached)
    content: list[Json] = [{"type": "text", "text": reply.text}] if reply.text else []
    content += [
        {
            "type": "tool_use",
            "id": f"toolu_{uuid4().hex}",
            "name": name,
            "input": in_directory(arguments, directory_of(request)),
        }
        for name, arguments in reply.tools
    ]
    message["content"] = content
    message["stop_reason"] = "tool_use" if reply.tools else "end_turn"
    message["usage"]["output_tokens"] = answered
    return message


def words(text: str) -> list[str]:
    return re.findall(r"\s*\S+\s*", text)


def _head(request: Json, spent: int, cached: int) -> Json:
    return {
        "id": f"msg_{uuid4().hex}",
        "type": "message",
        "role": "assistant",
        "model": request.get("model"),
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": spent,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": 1,
        },
    }


def _block(index: int, start: Json, deltas: list[Json]) -> Iterator[Event]:
    yield _event("content_block_start", index=index, content_block=start)
    for delta in deltas:
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _event(kind: str, /, **fields: object) -> Event:
    return kind, {"type": kind, **fields}


def _said(message: Json) -> list[Said]:
    """A user's message may be tool results, text, or both."""
    role, content = str(message.get("role")), message.get("content")
    if isinstance(content, str):
        return [Said(role, content)]
    blocks = cast("list[Json]", content or [])
    results = [block for block in blocks if block.get("type") == "tool_result"]
    text = "\n".join(str(block["text"]) for block in blocks if block.get("type") == "text")
    said = [Said("tool", json.dumps(block.get("content"))) for block in results]
    # what comes with a result is a reminder of the agent's own, unless a person wrote a script
    if not results or "<<SCRIPT" in text:
        said.append(Said(role, text))
    return said
