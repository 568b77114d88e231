"""Every error of ours that crosses a function's border.

    Exception
    ├── BerthError              a code of contracts.errors, what happened, details for the caller
    │   ├── NotFound            a 404 code
    │   ├── Stale               a 409 code: a guard refused, nothing was applied
    │   └── DependencyUnavailable   something this needs is missing, and what to do about it
    │       ├── CutShort    (chassis.objects) an object came without its end
    │       └── UnfitStore  (chassis.store.check) the object store is there, and not what is needed
    ├── CallFailed              a call to another service: http, timeout or network
    ├── SettingsError           (chassis.settings) the environment is not usable
    └── PortTaken               (chassis.listening) another process listens there

They know nothing of HTTP: `contracts.errors.RENDERINGS` is the table, `chassis.rendering` tells
them.
"""

from typing import Any, Literal

from contracts.errors import Code, Problem


class BerthError(Exception):
    """`retry_after` is in seconds and becomes the Retry-After header."""

    def __init__(
        self,
        code: Code,
        detail: str,
        *,
        retry_after: float | None = None,
        **details: Any,  # noqa: ANN401  # any JSON value
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.details: dict[str, Any] = details
        self.retry_after = retry_after


class NotFound(BerthError):
    """With one of the codes that are rendered as 404."""


class Stale(BerthError):
    """With one of the codes that are rendered as 409: apply nothing."""


class DependencyUnavailable(BerthError):
    """`what` names the dependency, `how` says what to do about it."""

    def __init__(self, what: str, how: str, *, retry_after: float | None = None) -> None:
        super().__init__(
            Code.DEPENDENCY_UNAVAILABLE,
            f"{what} is unavailable",
            retry_after=retry_after,
            missing=[{"what": what, "how": how}],
        )


class CallFailed(Exception):
    """`attempts` is 0 when the breaker refused the call without making it."""

    def __init__(
        self,
        kind: Literal["http", "timeout", "network"],
        *,
        target: str,
        path: str,
        attempts: int,
        reason: str,
        status: int | None = None,
        problem: Problem | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{target} {path}: {kind} after {attempts} attempts: {reason}")
        self.kind: Literal["http", "timeout", "network"] = kind
        self.target = target
        self.path = path
        self.attempts = attempts
        self.reason = reason
        self.status = status
        self.problem = problem
        self.code = problem.code if problem else None
        self.retry_after = retry_after
