"""Who may come in at all: a known key, within its limit."""

from dataclasses import dataclass

from litestar.datastructures import Headers
from litestar.types import HTTPScope, Message, Send

from chassis.errors import BerthError
from chassis.problems import send_problem
from contracts.errors import Code
from gateway.auth import Caller, Callers
from gateway.limits import RateLimiter


@dataclass(frozen=True, slots=True)
class Admitted:
    caller: Caller
    send: Send
    """Adds to every answer what is left of the caller's limit."""


class Admission:
    def __init__(self, callers: Callers, limiter: RateLimiter, per_minute: int) -> None:
        self._callers = callers
        self._limiter = limiter
        self._per_minute = per_minute

    async def admit(self, scope: HTTPScope, send: Send) -> Admitted | None:
        """None: over the limit, which was answered. Raises what `Callers.identify` does."""
        caller = await self._callers.identify(Headers.from_scope(scope))
        limit = caller.rate_limit or self._per_minute
        allowance = self._limiter.take(caller.key_id, limit)
        send = _with_headers(send, allowance.headers())
        if allowance.retry_after is not None:
            detail = f"this key may make {limit} requests a minute"
            error = BerthError(Code.RATE_LIMITED, detail, retry_after=allowance.retry_after)
            await send_problem(send, error)
            return None
        return Admitted(caller, send)


def _with_headers(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return wrapped
