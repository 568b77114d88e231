"""Errors of the gateway itself, in the shape of the wire format that was spoken."""

import msgspec

from chassis.errors import BerthError
from contracts.errors import RENDERINGS, Code
from contracts.models import WireFormat

_ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
}


def status_of(error: BerthError) -> int:
    return RENDERINGS[error.code].status


def body_of(error: BerthError, wire_format: WireFormat) -> bytes:
    status, message = status_of(error), _message(error)
    if wire_format == "messages":
        kind = _ANTHROPIC.get(status, "invalid_request_error" if status < 500 else "api_error")
        return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message}})
    kind = "invalid_request_error" if status < 500 else "server_error"
    code = "model_not_found" if error.code is Code.NOT_FOUND else str(error.code)
    told = {"message": message, "type": kind, "param": error.details.get("field"), "code": code}
    return msgspec.json.encode({"error": told})


def _message(error: BerthError) -> str:
    missing: list[dict[str, str]] = error.details.get("missing") or []
    hows = [one["how"] for one in missing]
    return ": ".join([error.detail, *hows])
