"""A tool of a server that the client named for the session, called over its protocol (MCP).

The server is asked as one without sessions: each message is a POST, each answer JSON.
"""

import json
from collections.abc import Mapping
from typing import Any, cast

import msgspec

from scripted.http_stream import CutShort, posted

Json = dict[str, Any]

VERSION = "2025-06-18"
ACCEPTED = "application/json, text/event-stream"


class ToolUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    arguments: Json = msgspec.field(default_factory=dict[str, Any])
    server: str = "platform"


class NotServed(Exception):
    """The message says why."""


def servers_of(params: Json) -> dict[str, str]:
    """Names and URLs of those that are reached over HTTP."""
    listed = cast("list[Json]", params.get("mcpServers") or [])
    return {one["name"]: one["url"] for one in listed if one.get("type") == "http"}


async def served(use: ToolUse, servers: Mapping[str, str]) -> tuple[str, bool]:
    """What the tool says, and whether it is an error. Raises `NotServed`."""
    if (url := servers.get(use.server)) is None:
        raise NotServed(f"there is no server {use.server}")
    client = {"name": "scripted", "version": "1.0.0"}
    hello = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": client}
    try:
        await _asked(url, {"id": 1, "method": "initialize", "params": hello})
        await _asked(url, {"method": "notifications/initialized"})
        wanted = {"name": use.name, "arguments": use.arguments}
        answer = await _asked(url, {"id": 2, "method": "tools/call", "params": wanted})
    except (CutShort, OSError, ValueError) as error:
        raise NotServed(f"{use.server} cannot be reached: {error}") from error
    if "error" in answer:
        raise NotServed(f"{use.server} refused: {answer['error'].get('message')}")
    result: Json = answer.get("result", {})
    texts = [part.get("text", "") for part in result.get("content", [])]
    return "\n".join(texts), bool(result.get("isError"))


async def _asked(url: str, message: Json) -> Json:
    """What is answered; nothing to a notification."""
    headers = {
        "Content-Type": "application/json",
        "Accept": ACCEPTED,
        "MCP-Protocol-Version": VERSION,
    }
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    async with posted(url, headers=headers, body=body) as answer:
        said = "\n".join([line async for line in answer.lines()])
    if answer.status >= 300 and not said.startswith("{"):
        raise NotServed(f"the server answered {answer.status}")
    return json.loads(said) if said.strip() else {}
