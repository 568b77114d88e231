"""The Model Context Protocol as far as a stateless server of tools speaks it. Pure.

A POST holds one JSON-RPC message, or in the older versions a batch of them; each request gets one
answer, and nothing is remembered between two POSTs: no session, no stream, nothing that a restart
or another replica could lose. What a call of a tool does is not decided here: `answer` gives it
back as a `ToolUse`.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import msgspec

from control_plane.domain.tool_arguments import UnknownTool, WrongArguments, listed, read
from control_plane.domain.tools import Call

PARSE_ERROR, INVALID_REQUEST = -32700, -32600
METHOD_NOT_FOUND, INVALID_PARAMS = -32601, -32602
UNSUPPORTED_VERSION = -32022

LATEST = "2025-11-25"
BATCHED = frozenset({"2024-11-05", "2025-03-26"})
"""The versions in which a body may be an array."""

VERSIONS = frozenset({LATEST, "2025-06-18", *BATCHED})
UNSAID = "2025-03-26"
"""What a request without the version's header speaks."""

MAX_BATCH = 20

INSTRUCTIONS = (
    "Tools of the platform that runs you. Say with finish_task that the work is done, with "
    "block_task that it cannot go on; ask people with request_input or ask_user. Each tool's "
    "answer tells what to do next."
)

Json: TypeAlias = dict[str, Any]


class Failure(Exception):
    """A JSON-RPC error; `id` is None where the request's own could not be read."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        id: int | str | None = None,  # noqa: A002 # its name on the wire
        data: Json | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.id = id
        self.data = data


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    id: int | str
    method: str
    params: object = None
    """As it came: what is no object is refused by the method."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A notification, or an answer to nothing that was asked: there is nothing to say to it."""


Message = Request | Heard | Failure


@dataclass(frozen=True, slots=True)
class Body:
    messages: list[Message]
    batch: bool


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A request's answer is what this call says."""

    id: int | str
    call: Call


def parse(content: bytes, version: str | None) -> Body:
    """`version`: of the header. Raises Failure where the body as a whole is refused."""
    try:
        value: object = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Failure(PARSE_ERROR, f"the body is no JSON: {error}") from error
    if not isinstance(value, list):
        message = _message(value)
        if isinstance(message, Failure):
            raise message
        _require_version(message, version)
        return Body([message], batch=False)
    return Body(_batch(cast("list[object]", value), version), batch=True)


def _batch(values: list[object], version: str | None) -> list[Message]:
    if (version or UNSAID) not in BATCHED:
        _require_known(version)
        raise Failure(INVALID_REQUEST, f"protocol version {version} has no batches: send one")
    if not 0 < len(values) <= MAX_BATCH:
        raise Failure(INVALID_REQUEST, f"a batch holds 1 to {MAX_BATCH} messages")
    return [_apart(_message(value)) for value in values]


def _apart(message: Message) -> Message:
    if isinstance(message, Request) and message.method == "initialize":
        return Failure(INVALID_REQUEST, "initialize is sent alone, not in a batch", id=message.id)
    return message


def _require_version(message: Message, version: str | None) -> None:
    """A first message negotiates by what it holds, whatever header came with it."""
    if not (isinstance(message, Request) and message.method == "initialize"):
        _require_known(version, id=message.id if isinstance(message, Request) else None)


def _require_known(version: str | None, *, id: int | str | None = None) -> None:  # noqa: A002 # as above
    if (version or UNSAID) not in VERSIONS:
        supported = sorted(VERSIONS)
        raise Failure(
            UNSUPPORTED_VERSION,
            f"MCP-Protocol-Version: {version} is not spoken here, but {', '.join(supported)}",
            id=id,
            data={"supported": supported, "requested": version},
        )


def _message(value: object) -> Message:
    if not isinstance(value, dict):
        return Failure(INVALID_REQUEST, "a message is an object")
    fields = cast("Json", value)
    given, method = fields.get("id"), fields.get("method")
    request_id = given if isinstance(given, int | str) and not isinstance(given, bool) else None
    if fields.get("jsonrpc") != "2.0":
        return Failure(INVALID_REQUEST, 'jsonrpc: it must be "2.0"', id=request_id)
    if method is None and ("result" in fields or "error" in fields):
        return Heard()
    if not isinstance(method, str):
        return Failure(INVALID_REQUEST, "method: it must be a string", id=request_id)
    if "id" not in fields:
        return Heard()
    if request_id is None:
        return Failure(INVALID_REQUEST, "id: it must be a string or an integer")
    return Request(id=request_id, method=method, params=fields.get("params"))


def answer(request: Request, *, version: str) -> Json | ToolUse:
    """What the server says at once, or the call that it is to make. `version`: the server's own.

    Raises Failure.
    """
    params = _params(request)
    match request.method:
        case "initialize":
            return result(request.id, _initialized(request, params, version))
        case "ping":
            return result(request.id, {})
        case "tools/list":
            if params.get("cursor") is not None:
                raise Failure(INVALID_PARAMS, "cursor: there is one page only", id=request.id)
            return result(request.id, {"tools": listed()})
        case "tools/call":
            return ToolUse(request.id, _call(request, params))
        case _:
            raise Failure(
                METHOD_NOT_FOUND, f"there is no method {request.method!r} here", id=request.id
            )


def _params(request: Request) -> Json:
    params: object = {} if request.params is None else request.params
    if not isinstance(params, dict):
        raise Failure(INVALID_PARAMS, "params: they must be an object", id=request.id)
    return cast("Json", params)


def _initialized(request: Request, params: Json, version: str) -> Json:
    asked: object = params.get("protocolVersion")
    if not isinstance(asked, str):
        raise Failure(INVALID_PARAMS, "protocolVersion: it must be a string", id=request.id)
    return {
        "protocolVersion": asked if asked in VERSIONS else LATEST,
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "berth", "title": "Berth", "version": version},
        "instructions": INSTRUCTIONS,
    }


def _call(request: Request, params: Json) -> Call:
    name: object = params.get("name")
    if not isinstance(name, str):
        raise Failure(INVALID_PARAMS, "name: it must be a tool's name", id=request.id)
    arguments: object = params.get("arguments")
    try:
        return read(name, {} if arguments is None else arguments)
    except (UnknownTool, WrongArguments) as error:
        raise Failure(INVALID_PARAMS, str(error), id=request.id) from error


def result(request_id: int | str, value: Json) -> Json:
    return {"jsonrpc": "2.0", "id": request_id, "result": value}


def tool_result(request_id: int | str, text: str, *, is_error: bool) -> Json:
    """A tool that refuses says so in its result: the model reads that, and can act on it."""
    said = {"content": [{"type": "text", "text": text}], "isError": is_error}
    return result(request_id, said)


def failed(failure: Failure) -> Json:
    error: Json = {"code": failure.code, "message": str(failure)}
    if failure.data is not None:
        error["data"] = failure.data
    return {"jsonrpc": "2.0", "id": failure.id, "error": error}
