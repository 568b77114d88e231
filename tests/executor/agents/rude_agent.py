"""An agent that keeps to the protocol and does not: garbage, requests taken back."""

import json
import sys
from typing import Any

CONFIG = [
    {
        "id": "m",
        "category": "mode",
        "currentValue": "default",
        "options": [{"value": "g", "options": [{"value": "default"}]}],
    }
]
ASK = {"toolCall": {"toolCallId": "t", "title": "x"}, "options": []}


def send(message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def say(text: str) -> None:
    content = {"type": "text", "text": text}
    update = {"sessionUpdate": "agent_message_chunk", "content": content}
    send({"method": "session/update", "params": {"sessionId": "s", "update": update}})


def prompt() -> dict[str, Any]:
    sys.stdout.write("this is not JSON\n\n[1]\n" + "[" * 5000 + "\n")
    send({"method": "session/update", "params": {"sessionId": "s", "update": "nothing"}})
    send({"method": "session/update", "params": {"sessionId": "other", "update": {}}})
    send({"id": 900, "method": "fs/read_text_file", "params": {"path": "/etc/passwd"}})
    say(f"no method: {json.loads(sys.stdin.readline())['error']['code']}; ")
    send({"id": "q1", "method": "session/request_permission", "params": ASK})
    sys.stdin.readline()  # the test tells when the person was asked
    send({"method": "$/cancel_request", "params": {"requestId": "q1"}})
    say(f"taken back: {json.loads(sys.stdin.readline())['error']['code']}")
    return {"stopReason": "end_turn", "usage": {"inputTokens": "many"}}


ANSWERS = {
    "initialize": lambda: {"protocolVersion": 1},
    "session/new": lambda: {"sessionId": "s", "configOptions": CONFIG},
    "session/set_config_option": dict,
    "session/prompt": prompt,
}

for line in sys.stdin:
    request = json.loads(line)
    if request.get("method") in ANSWERS:
        send({"id": request["id"], "result": ANSWERS[request["method"]]()})
