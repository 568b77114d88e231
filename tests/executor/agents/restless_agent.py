"""An agent that, once prompted, tells without a pause (`flood`), or does not even read (`deaf`)."""

import json
import sys
import time
from typing import Any

CONFIG = [{"id": "m", "category": "mode", "options": [{"value": "default"}]}]
CONTENT = {"type": "text", "text": "and on, "}
UPDATE = {"sessionUpdate": "agent_message_chunk", "content": CONTENT}
ANSWERS: dict[str, Any] = {
    "initialize": {"protocolVersion": 1},
    "session/new": {"sessionId": "s", "configOptions": CONFIG},
    "session/set_config_option": {},
}


def send(message: Any) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


for line in sys.stdin:
    request = json.loads(line)
    method = request.get("method")
    if method in ANSWERS:
        send({"id": request["id"], "result": ANSWERS[method]})
    while method == "session/prompt":
        send({"method": "session/update", "params": {"sessionId": "s", "update": UPDATE}})
    while method == "session/set_config_option" and sys.argv[1] == "deaf":
        time.sleep(60)
