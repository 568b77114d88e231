"""How errors are told over HTTP: problem details, without internals. Knows no framework."""

import msgspec

from chassis.errors import BerthError, CallFailed, DependencyUnavailable
from chassis.logs import get_logger
from chassis.telemetry import current_trace_id
from contracts.errors import RENDERINGS, Code, Problem

MEDIA_TYPE = "application/problem+json"

_log = get_logger()


def problem_of(error: BerthError) -> Problem:
    rendering = RENDERINGS[error.code]
    details = dict(error.details)
    if error.retry_after is not None:
        details.setdefault("retry_after", error.retry_after)
    return Problem(
        title=rendering.title,
        status=rendering.status,
        code=error.code,
        detail=error.detail,
        trace_id=current_trace_id(),
        details=details,
    )


def headers_of(error: BerthError) -> dict[str, str]:
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        # whole seconds, rounded up: never an invitation to come too early
        headers["Retry-After"] = str(max(1, -int(-error.retry_after // 1)))
    if error.code is Code.UNAUTHENTICATED:
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def error_of(error: Exception) -> BerthError:
    """Logs what nobody expected, and gives it as `internal`."""
    match error:
        case BerthError():
            return error
        case CallFailed():
            return _of_call(error)
        case UnicodeDecodeError() | RecursionError():  # msgspec's, of a body
            return BerthError(
                Code.VALIDATION,
                "the body is not readable",
                field="body",
                expected="JSON in UTF-8, not nested too deeply",
            )
        case _:
            _log.error("unexpected_error", exc_info=error)
            return BerthError(Code.INTERNAL, "the log has the reason under this trace id")


def _of_call(error: CallFailed) -> BerthError:
    _log.warning("call_failed", target=error.target, path=error.path, reason=str(error))
    if error.kind == "timeout":
        return BerthError(Code.UPSTREAM_TIMEOUT, f"{error.target} did not answer in time")
    if error.kind == "network" or error.status in (502, 503, 504):
        how = f"see that {error.target} runs and can be reached"
        return DependencyUnavailable(error.target, how, retry_after=error.retry_after)
    return BerthError(Code.INTERNAL, f"{error.target} refused a call")


def refused_body(error: msgspec.MsgspecError) -> BerthError:
    """What a caller is told whose JSON could not be decoded, from msgspec's
    "Expected `int`, got `str` - at `$.item.count`".
    """
    if not isinstance(error, msgspec.ValidationError):
        detail = "the body is not well-formed JSON"
        return BerthError(Code.VALIDATION, detail, field="body", expected="well-formed JSON")
    message, _, place = str(error).partition(" - at `$")
    parent = place.rstrip("`").lstrip(".")
    field, expected = parent or "body", message.removeprefix("Expected ").partition(", got ")[0]
    named = message.split("`")[1:2]
    if message.startswith("Object contains unknown field"):
        field, expected = ".".join(filter(None, [parent, *named])), "no such field"
    if message.startswith("Object missing required field"):
        field, expected = ".".join(filter(None, [parent, *named])), "a value: it is required"
    detail = f"{field}: expected {expected}"
    return BerthError(Code.VALIDATION, detail, field=field, expected=expected)
