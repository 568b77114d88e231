"""One call of a model by the scripted agent, through the gateway that its environment names.

The answer is streamed and has to come whole: by HTTP, and by the last event of its format.
"""

import json
import os
from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec

from scripted.http_stream import CutShort, Streamed, posted

Json = dict[str, Any]

BASE_URL = "BERTH_MODEL_BASE_URL"
TOKEN = "BERTH_MODEL_TOKEN"  # noqa: S105 - the variable's name
PATHS = {
    "messages": "/v1/messages", "responses": "/v1/responses", "chat": "/v1/chat/completions",
}  # fmt: skip
TOOL = "shell"
"""Named in each request, so that it looks like an agent's turn and not like a title's."""
TOLD = 2000


class ModelCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    say: str = ""
    """By default something that no other session says."""
    replies: list[Json] = msgspec.field(default_factory=list[Json])
    """A script for the scripted model, put behind what is said."""
    format: Literal["messages", "responses", "chat"] = "messages"
    model: str = "scripted-1"
    retries: int = 0
    ignore_cut: bool = False
    """Says nothing of a call that failed, as some agents do."""


class ModelFailed(Exception):
    """No whole answer came; `told` says why, for the client."""

    def __init__(self, kind: str, message: str, **told: object) -> None:
        super().__init__(message)
        self.told: Json = {"errorKind": kind, **told}


async def spoken(call: ModelCall, *, session_id: str) -> AsyncIterator[str]:
    """What the model says, as it comes; a call that is made again says again what it had said.
    Raises `ModelFailed` when the last one failed too.
    """
    body = _body(call, call.say or f"Go on with session {session_id}.")
    for left in range(call.retries, -1, -1):
        try:
            async for text in _once(call, body):
                yield text
        except ModelFailed:
            if left == 0:
                raise
        else:
            return


async def _once(call: ModelCall, asked: Json) -> AsyncIterator[str]:
    environment = os.environ  # noqa: TID251 - an agent has no settings but these
    base = environment.get(BASE_URL, "").rstrip("/")
    if not base:
        raise ModelFailed("unconfigured", f"{BASE_URL} is not set: no model can be called")
    body = json.dumps(asked).encode()
    headers = _headers(call, environment.get(TOKEN, ""))
    try:
        async with posted(base + PATHS[call.format], headers=headers, body=body) as answer:
            if answer.status >= 400:
                raise ModelFailed(
                    "refused",
                    f"the model refused with status {answer.status}",
                    status=answer.status,
                    body="\n".join([line async for line in answer.lines()])[:TOLD],
                )
            async for text in _texts(answer):
                yield text
    except CutShort as error:
        raise ModelFailed("cut", f"the model's answer was cut: {error}") from error
    except OSError as error:
        raise ModelFailed("unreachable", f"the model cannot be reached: {error}") from error


def _headers(call: ModelCall, token: str) -> dict[str, str]:
    plain = {"Content-Type": "application/json", "Accept": "text/event-stream"}
    if call.format == "messages":
        return {**plain, "X-API-Key": token, "Anthropic-Version": "2023-06-01"}
    return {**plain, "Authorization": f"Bearer {token}"}


def _body(call: ModelCall, say: str) -> Json:
    script = f"\n<<SCRIPT{json.dumps(call.replies)}SCRIPT>>" if call.replies else ""
    said = [{"role": "user", "content": say + script}]
    plain: Json = {"model": call.model, "stream": True}
    takes: Json = {"type": "object", "properties": {"command": {"type": "string"}}}
    function = {"name": TOOL, "parameters": takes}
    match call.format:
        case "messages":
            tools = [{"name": TOOL, "input_schema": takes}]
            return {**plain, "max_tokens": 4096, "messages": said, "tools": tools}
        case "responses":
            tools = [{"type": "function", **function}]
            return {**plain, "store": False, "input": said, "tools": tools}
        case "chat":
            tools = [{"type": "function", "function": function}]
            usage = {"include_usage": True}
            return {**plain, "stream_options": usage, "messages": said, "tools": tools}


async def _texts(answer: Streamed) -> AsyncIterator[str]:
    ended = False
    async for line in answer.lines():
        if not line.startswith("data:"):
            continue
        told = line.removeprefix("data:").strip()
        ended = ended or told == "[DONE]"
        event: Json = {} if told == "[DONE]" else json.loads(told)
        ended = ended or event.get("type") in {"message_stop", "response.completed"}
        if "error" in event or event.get("type") in {"error", "response.failed"}:
            raise ModelFailed("failed", "the model failed in the middle", body=told[:TOLD])
        if text := _text_of(event):
            yield text
    if not ended:
        raise CutShort("its last event is missing")


def _text_of(event: Json) -> str:
    match event:
        case {"type": "content_block_delta", "delta": {"text": str(text)}}:
            return text
        case {"type": "response.output_text.delta", "delta": str(text)}:
            return text
        case {"choices": [{"delta": {"content": str(text)}}]}:
            return text
        case _:
            return ""
