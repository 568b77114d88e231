"""Refusals in the shape that all of OpenAI's paths have."""

from typing import Any

REQUEST_ID = "x-request-id"

_KINDS = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def error_body(status: int, message: str, _request_id: str) -> dict[str, Any]:
    kind, code = _KINDS.get(
        status, ("invalid_request_error" if status < 500 else "server_error", None)
    )
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}
