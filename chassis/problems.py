"""The one place where Litestar's errors and ours become answers of its apps."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException, SerializationException, ValidationException
from litestar.types import Send

from chassis.errors import BerthError
from chassis.rendering import MEDIA_TYPE, error_of, headers_of, problem_of
from contracts.errors import Code

_BY_STATUS = {
    400: Code.VALIDATION,
    401: Code.UNAUTHENTICATED,
    403: Code.FORBIDDEN,
    404: Code.NOT_FOUND,
    405: Code.METHOD_NOT_ALLOWED,
    413: Code.TOO_LARGE,
    415: Code.UNSUPPORTED_MEDIA,
    429: Code.RATE_LIMITED,
    503: Code.DEPENDENCY_UNAVAILABLE,
}
"""What Litestar itself refuses."""


def handle_exception(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's handler for every exception."""
    known = known_error(error, content_type=request.headers.get("content-type", ""))
    headers = headers_of(known)
    if isinstance(error, HTTPException):
        headers |= error.headers or {}
    problem = problem_of(known)
    body = msgspec.json.encode(problem)
    return Response(body, status_code=problem.status, headers=headers, media_type=MEDIA_TYPE)


async def send_problem(send: Send, error: BerthError) -> None:
    """For an ASGI app without Litestar: the whole answer."""
    problem = problem_of(error)
    body = msgspec.json.encode(problem)
    headers = {
        "content-type": MEDIA_TYPE,
        "content-length": str(len(body)),
        **{name.lower(): value for name, value in headers_of(error).items()},
    }
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def known_error(error: Exception, *, content_type: str = "") -> BerthError:
    """Logs what nobody expected, and gives it as `internal`."""
    match error:
        case ValidationException():
            return _of_validation(error)
        case HTTPException() if error.status_code in _BY_STATUS:
            return _of_litestar(error, content_type)
        case _:
            return error_of(error)


def _of_litestar(error: HTTPException, content_type: str) -> BerthError:
    code = _BY_STATUS[error.status_code]
    if code is not Code.VALIDATION:
        return BerthError(code, error.detail)
    # Litestar reads any body as JSON
    unreadable = isinstance(error.__cause__, SerializationException)
    if unreadable and "json" not in content_type:
        detail = f"the body is {content_type or 'of no content type'}, not application/json"
        return BerthError(Code.UNSUPPORTED_MEDIA, detail)
    return BerthError(code, error.detail, field="body", expected="well-formed JSON")


def _of_validation(error: ValidationException) -> BerthError:
    complaints = cast("Sequence[dict[str, Any]]", error.extra or [])
    if not complaints or not isinstance(complaints, list):
        return BerthError(Code.VALIDATION, error.detail)
    field, expected = _field_and_expected(complaints[0])
    return BerthError(
        Code.VALIDATION, f"{field}: expected {expected}", field=field, expected=expected
    )


def _field_and_expected(complaint: dict[str, Any]) -> tuple[str, str]:
    """From Litestar's {message, key, source}, whose message is msgspec's."""
    key = str(complaint.get("key", "body"))
    message = str(complaint.get("message", ""))
    parent = "" if key in ("data", "body") else f"{key}."
    words = message.split("`")
    if message.startswith("Object contains unknown field"):
        return f"{parent}{words[1]}", "no such field"
    if message.startswith("Object missing required field"):
        return f"{parent}{words[1]}", "a value: it is required"
    if message == "'data'":
        return "body", "a JSON body"
    field = "body" if key == "data" else key
    return field, message.removeprefix("Expected ").partition(", got ")[0]
