"""The API's description, OpenAPI 3.1, made from the handlers' own signatures.

msgspec describes every type, so that discriminators and bounds are those that are enforced; what
Litestar would say of an event stream and of a union is not enough. `/internal` is left out. What
the gateway answers by itself is described here by hand: callers know one API.
"""

import inspect
import typing
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, cast, get_args, get_origin

import msgspec
from litestar import Response
from litestar.handlers import HTTPRouteHandler
from litestar.params import BodyKwarg, HeaderParameter, PathParameter, QueryParameter
from litestar.response import Stream

from chassis.app import VERSION
from contracts.errors import Problem
from contracts.events import AnyEvent, LogEntry
from contracts.runs import Run
from contracts.tickets import MOST_LOG_BYTES
from control_plane.openapi_examples import EXAMPLES, STREAM_EXAMPLE
from control_plane.openapi_gateway import gateway_paths
from control_plane.routes.answers import Answers
from control_plane.routes.contents import Content
from control_plane.routes.policies import Policy

REF = "#/components/schemas/{name}"
JSON, SSE, PROBLEM = "application/json", "text/event-stream", "application/problem+json"
BYTES = "application/octet-stream"

WORKER_LOGS = "/api/v1/session-workers/{session_id}/logs"
"""The gateway's own."""

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PLACES = {PathParameter: "path", QueryParameter: "query", HeaderParameter: "header"}


class Describer:
    """Gathers the types that were met; `schema` of one is a reference or the thing itself."""

    def __init__(self) -> None:
        self._types: list[Any] = [AnyEvent, LogEntry, Problem]

    def schema(self, kind: Any) -> dict[str, Any]:  # noqa: ANN401 # any annotation
        self._types.append(kind)
        (described,), _ = msgspec.json.schema_components([kind], ref_template=REF)
        return described

    def components(self) -> dict[str, Any]:
        (union, *_), found = msgspec.json.schema_components(self._types, ref_template=REF)
        return {**found, "Event": {"title": "Event", **union}}


def document(handlers: Sequence[HTTPRouteHandler]) -> dict[str, Any]:
    describer = Describer()
    paths: dict[str, dict[str, Any]] = {
        WORKER_LOGS: {"get": _worker_logs()},
    }
    paths |= gateway_paths(describer.schema, _problem())
    for handler in handlers:
        for number, path in enumerate(sorted(handler.paths)):
            if not path.startswith("/internal"):
                item = paths.setdefault(_plain(path), {})
                for method in sorted(handler.http_methods):
                    item[method.lower()] = _operation(handler, describer, alias=number > 0)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Berth",
            "version": VERSION,
            "description": "Runs coding agents for many people at once, each session in its berth",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"api_key": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(describer.components().items())),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _worker_logs() -> dict[str, Any]:
    return {
        "operationId": "get_worker_logs",
        "tags": ["session-workers"],
        "description": "What the container of the session's newest worker printed last, also of one"
        " that has ended, while it is there. For members: a viewer gets 403.",
        "parameters": [
            {
                "name": "session_id",
                "in": "path",
                "required": True,
                "schema": {"type": "string", "format": "uuid"},
            },
            {
                "name": "bytes",
                "in": "query",
                "description": "So many at most",
                "schema": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": MOST_LOG_BYTES,
                    "default": 65536,
                },
            },
        ],
        "responses": {
            "200": {
                "description": "Text as it was printed",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            },
            "default": _problem(),
        },
    }


def _plain(path: str) -> str:
    """`/runs/{run_id:uuid}` as `/runs/{run_id}`."""
    parts = [p.partition(":")[0] + "}" if p.startswith("{") else p for p in path.split("/")]
    return "/".join(parts)


def _operation(handler: HTTPRouteHandler, describer: Describer, *, alias: bool) -> dict[str, Any]:
    function = inspect.unwrap(handler.fn)
    hints = typing.get_type_hints(function, include_extras=True)
    defaults = inspect.signature(function).parameters
    operation: dict[str, Any] = {
        "operationId": handler.name or function.__name__ + ("_alias" if alias else ""),
        "tags": sorted(handler.tags or []),
        "responses": _responses(handler, hints, describer),
    }
    if text := inspect.getdoc(function):
        operation["description"] = text
    parameters = [
        _parameter(name, hint, defaults[name], describer)
        for name, hint in hints.items()
        if _marker(hint, tuple(_PLACES)) is not None
    ]
    if parameters:
        operation["parameters"] = parameters
    for hint in hints.values():
        if _marker(hint, (BodyKwarg,)) is not None:
            operation["requestBody"] = _body(get_args(hint)[0], describer)
    if takes := handler.opt.get("takes_bytes"):
        operation["requestBody"] = {"required": True, "content": dict.fromkeys(takes, _BINARY)}
    policy: Policy = handler.opt["policy"]
    if policy.caller == "anyone":
        operation["security"] = []
    return operation


def _marker(hint: Any, kinds: tuple[type, ...]) -> Any:  # noqa: ANN401 # any annotation
    if get_origin(hint) is not Annotated:
        return None
    return next((one for one in get_args(hint)[1:] if isinstance(one, kinds)), None)


def _parameter(
    name: str,
    hint: Any,  # noqa: ANN401 # any annotation
    parameter: inspect.Parameter,
    describer: Describer,
) -> dict[str, Any]:
    marker = _marker(hint, tuple(_PLACES))
    kind, *metadata = get_args(hint)
    metas = [one for one in metadata if isinstance(one, msgspec.Meta)]
    schema = describer.schema(_without_none(kind, metas))
    required = parameter.default is inspect.Parameter.empty
    if not required and parameter.default is not None:
        schema = {**schema, "default": parameter.default}
    described: dict[str, Any] = {
        "name": getattr(marker, "name", None) or getattr(marker, "query", None) or name,
        "in": _PLACES[type(marker)],
        "required": required,
        "schema": schema,
    }
    if marker.description:
        described["description"] = marker.description
    if marker.examples:
        described["example"] = marker.examples[0].value
    return described


def _without_none(kind: Any, metas: Iterable[msgspec.Meta]) -> Any:  # noqa: ANN401 # any annotation
    """A parameter is left out, never null."""
    members = [one for one in get_args(kind) if one is not type(None)]
    if type(None) in get_args(kind) and len(members) == 1:
        kind = members[0]
    for meta in metas:
        kind = Annotated[kind, meta]
    return kind


def _body(kind: Any, describer: Describer) -> dict[str, Any]:  # noqa: ANN401 # any annotation
    content: dict[str, Any] = {"schema": describer.schema(kind)}
    if kind.__name__ in EXAMPLES:
        content["example"] = EXAMPLES[kind.__name__]
    return {"required": True, "content": {JSON: content}}


def _responses(
    handler: HTTPRouteHandler, hints: dict[str, Any], describer: Describer
) -> dict[str, Any]:
    answers = _answers(handler, hints, describer)
    answers["default"] = _problem()
    return answers


def _problem() -> dict[str, Any]:
    problem = {"schema": {"$ref": REF.format(name="Problem")}}
    return {
        "description": "What went wrong: RFC 9457 problem details with a stable `code`",
        "content": {PROBLEM: {**problem, "example": EXAMPLES["Problem"]}},
    }


def _answers(
    handler: HTTPRouteHandler, hints: dict[str, Any], describer: Describer
) -> dict[str, Any]:
    if any(Answers in get_args(hint) for hint in hints.values()):
        run = {JSON: {"schema": describer.schema(Run), "example": EXAMPLES["Run"]}}
        return {
            "200": {
                "description": "The run's stream, or how it settled",
                "content": {**run, **_sse()},
            },
            "202": {"description": "Accepted; `Location` says where the run is", "content": run},
        }
    status = str(handler.status_code)
    given = (handler.responses or {}).get(handler.status_code)
    kind = cast("Any", given).data_container if given else _returned(hints.get("return"))
    if kind is Stream:
        return {status: {"description": "Server-Sent Events", "content": _sse()}}
    if kind in (None, type(None)):
        return {status: {"description": "Done"}}
    if kind is Content:
        whole = {"description": "Bytes", "content": {BYTES: _BINARY}}
        if "asked_range" not in hints:
            return {status: whole}
        return {
            status: whole,
            "206": {**whole, "description": "The range that was asked for"},
            "304": {"description": "It still has this ETag"},
        }
    content: dict[str, Any] = {"schema": describer.schema(kind)}
    if kind.__name__ in EXAMPLES:
        content["example"] = EXAMPLES[kind.__name__]
    return {status: {"description": kind.__name__, "content": {JSON: content}}}


def _returned(hint: Any) -> Any:  # noqa: ANN401 # any annotation
    return get_args(hint)[0] if get_origin(hint) is Response else hint


def _sse() -> dict[str, Any]:
    """Each frame's `data:` is a `LogEntry`; its `id:` is the cursor."""
    return {
        SSE: {
            "schema": {
                "type": "string",
                "description": "`retry:` first; then frames whose `id:` is a cursor, whose `event:`"
                " is the event's kind and whose `data:` is a LogEntry; `heartbeat`, `bye` and"
                " `resync` carry no id",
                "contentMediaType": JSON,
                "contentSchema": {"$ref": REF.format(name="LogEntry")},
            },
            "example": STREAM_EXAMPLE,
        }
    }
