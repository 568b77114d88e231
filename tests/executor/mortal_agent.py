"""An agent that ends when it is to resume a session, as often as a file in its HOME says."""

import json
import os
import sys
from pathlib import Path
from typing import Any

MODE = {
    "id": "mode",
    "category": "mode",
    "currentValue": "default",
    "options": [{"value": "default"}],
}
DEATHS = Path.home() / "deaths"


def deaths() -> int:
    return int(DEATHS.read_text()) if DEATHS.exists() else 0


def opened(**fields: Any) -> dict[str, Any]:
    return {"configOptions": [MODE], **fields}


def resume(_params: dict[str, Any]) -> dict[str, Any]:
    if left := deaths():
        DEATHS.write_text(str(left - 1))
        os._exit(9)
    return opened()


def prompt(params: dict[str, Any]) -> dict[str, Any]:
    said = " | ".join(part["text"] for part in params["prompt"])
    update = {
        "sessionUpdate": "agent_message_chunk",
        "content": {"type": "text", "text": f"I heard: {said}"},
    }
    tell({"method": "session/update", "params": {"sessionId": "s", "update": update}})
    return {"stopReason": "end_turn"}


def tell(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


ANSWERS: dict[str, Any] = {
    "initialize": lambda _: {
        "protocolVersion": 1,
        "agentCapabilities": {
            "sessionCapabilities": {"resume": {}},
            "promptCapabilities": {"image": True},
            "mcpCapabilities": {"http": True},
        },
    },
    "session/new": lambda _: opened(sessionId="s"),
    "session/resume": resume,
    "session/set_config_option": lambda _: {},
    "session/prompt": prompt,
}

for line in sys.stdin:
    request = json.loads(line)
    if request.get("method") in ANSWERS:
        result = ANSWERS[request["method"]](request.get("params") or {})
        tell({"id": request["id"], "result": result})
