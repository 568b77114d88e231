"""What the gateway answers by itself, described by hand: terminals, commands, changed files."""

from collections.abc import Callable
from typing import Any

from contracts.terminals import ExecCommand, Executed
from control_plane.openapi_files import file_paths

TERMINAL = "/api/v1/session-workers/{session_id}/tty"
EXEC = "/api/v1/session-workers/{session_id}/tty/exec"

_SESSION = {
    "name": "session_id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}
_QUERY: list[tuple[str, str, dict[str, Any]]] = [
    (
        "terminal",
        "Which one; it is opened when it is not there and the caller may write",
        {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,31}$", "default": "main"},
    ),
    (
        "mode",
        "`auto`: write where the role allows it, else read",
        {"enum": ["auto", "read", "write"], "default": "auto"},
    ),
    ("columns", "", {"type": "integer", "minimum": 2, "maximum": 1000, "default": 80}),
    ("rows", "", {"type": "integer", "minimum": 2, "maximum": 500, "default": 24}),
]


def gateway_paths(
    schema: Callable[[Any], dict[str, Any]], problem: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """`schema` describes a type, `problem` is the answer to whatever was refused."""
    return {
        TERMINAL: {"get": _terminal(problem)},
        EXEC: {"post": _exec(schema, problem)},
        **file_paths(schema, problem),
    }


def _terminal(problem: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": "open_terminal",
        "tags": ["session-workers"],
        "description": (
            "A WebSocket: binary messages are the terminal's bytes, text messages are JSON objects"
            " by their `type` (to the terminal `resize`, `close`; from it `attached`, `resized`,"
            " `skipped`, `input_dropped`, `read_only`, `exited`). What was written before comes"
            " first. Close codes: 1000 its program ended, 1001, 1011, 1012 and 4408 connect again,"
            " else 4000 + the status of the reason. Pages send the subprotocols `berth.tty.v1` and"
            " `berth.key.` with the key in base64url behind it. 409 while no worker runs."
        ),
        "parameters": [
            _SESSION,
            *(
                {"name": name, "in": "query", "description": said, "schema": kind}
                for name, said, kind in _QUERY
            ),
        ],
        "responses": {"101": {"description": "The WebSocket"}, "default": problem},
    }


def _exec(schema: Callable[[Any], dict[str, Any]], problem: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": "run_command",
        "tags": ["session-workers"],
        "description": (
            "Runs a command as the agent's user in the session's container, until it ends or its"
            " time is over, and all that it started with it. 409 while no worker runs."
        ),
        "parameters": [_SESSION],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": schema(ExecCommand),
                    "example": {"command": "ls -l", "cwd": "src", "timeout_seconds": 10},
                }
            },
        },
        "responses": {
            "200": {
                "description": "It ran; how it ended is in `exit_code`",
                "content": {"application/json": {"schema": schema(Executed)}},
            },
            "default": problem,
        },
    }
