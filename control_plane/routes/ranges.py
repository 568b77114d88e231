"""What is out of its bounds is answered with all that would be right: both ends of a range, words
for a pattern.
"""

from collections.abc import Callable, Mapping
from typing import Any, get_args, get_type_hints

import msgspec
from litestar import Request, Response
from litestar.exceptions import ValidationException

from chassis.errors import BerthError
from chassis.problems import handle_exception, known_error
from contracts.errors import Code
from contracts.workers import WorkerLimits
from control_plane.routes.refusals import with_rule


def _ranges() -> dict[str, str]:
    """By field: what its type allows."""
    hints = get_type_hints(WorkerLimits, include_extras=True)
    return {name: _range(get_args(hint)[0]) for name, hint in hints.items()}


def _range(kind: Any) -> str:  # noqa: ANN401 # `Annotated[int, Meta(…)]`
    number, bounds = get_args(kind)
    meta: msgspec.Meta = bounds
    what = "a whole number" if number is int else "a number"
    return f"{what} from {meta.ge} to {meta.le}, or null"


ALLOWED = {
    **_ranges(),
    "image": (
        "an image that managers allow, as name:tag, with @sha256:… to have no other; or null for"
        " the installation's"
    ),
    "runtime": "the engine's name of a runtime, such as runsc; or null for its default",
    "tier": "one of trusted, untrusted",
    "host": (
        "a host's name in lower case, such as api.example.org, or *.example.org for all below it;"
        " never an address"
    ),
    "mib_per_hour": "a whole number from 1 to 1048576, or null",
    "path": "a repository as in its URL, such as berth/docs without .git, or berth/* for all below",
    "port": "a whole number from 1 to 65535",
    "profile": "one of none, packages, custom",
}
"""By a field's own name."""


def telling(
    allowed: Mapping[str, str],
) -> Callable[[Request[Any, Any, Any], ValidationException], Response[bytes]]:
    """A handler that says of these fields, by their own names, what would be right."""

    def tell(request: Request[Any, Any, Any], error: ValidationException) -> Response[bytes]:
        known = with_rule(known_error(error))
        field = str(known.details.get("field", ""))
        expected = allowed.get(field.rpartition(".")[2])
        if expected is not None and "rule" not in known.details:
            known = BerthError(
                Code.VALIDATION, f"{field}: expected {expected}", field=field, expected=expected
            )
        return handle_exception(request, known)

    return tell


tell_range = telling(ALLOWED)
