"""An agent without modes that asks once, and after a no says nothing more; it keeps what it was
opened with in a file. `curt_agent.py STOP_REASON [goes-on] [no-http]`.
"""

import json
import sys
from pathlib import Path
from typing import Any

OPTIONS = [
    {"optionId": "y", "name": "Yes", "kind": "allow_once"},
    {"optionId": "n", "name": "No", "kind": "reject_once"},
]
CALL = {"toolCallId": "t", "title": "rm", "kind": "execute", "rawInput": {"command": "rm"}}
stop_reason, goes_on = sys.argv[1], "goes-on" in sys.argv


def send(message: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def update(update: Any) -> None:
    send({"method": "session/update", "params": {"sessionId": "s", "update": update}})


def say(text: str) -> None:
    content = {"type": "text", "text": text}
    update({"sessionUpdate": "agent_message_chunk", "content": content})


def prompt() -> Any:
    say("may I?")
    params = {"sessionId": "s", "toolCall": CALL, "options": OPTIONS}
    send({"id": 1, "method": "session/request_permission", "params": params})
    allowed = json.loads(sys.stdin.readline())["result"]["outcome"].get("optionId") == "y"
    status = "completed" if allowed else "failed"
    update({"sessionUpdate": "tool_call_update", "toolCallId": "t", "status": status})
    if goes_on:
        say("then not")
    return {"stopReason": "end_turn" if allowed else stop_reason}


for line in sys.stdin:
    request = json.loads(line)
    match request.get("method"):
        case "initialize":
            able = {"mcpCapabilities": {"http": "no-http" not in sys.argv}}
            result = {"protocolVersion": 1, "agentCapabilities": able}
        case "session/new":
            Path("opened.json").write_text(json.dumps(request["params"]))
            result = {"sessionId": "s"}
        case "session/prompt":
            result = prompt()
        case _:
            result = {}
    send({"id": request["id"], "result": result})

Path("written-at-the-end").write_text("all of it")
