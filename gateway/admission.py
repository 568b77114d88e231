"""Who may come in at all: a known key, within its limit."""

from dataclasses import dataclass

from litestar.datastructures import Headers
from litestar.types import HTTPScope, Message, Send

from chassis.errors import BerthError
from chassis.problems import send_problem
from chassis.rates import Allowance, RateLimiter
from contracts.errors import Code
from gateway.auth import Caller, Callers


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
        allowance = self._taken(caller)
        send = _with_headers(send, allowance.headers())
        if allowance.retry_after is not None:
            await send_problem(send, self._too_many(caller, allowance))
            return None
        return Admitted(caller, send)

    async def known(self, headers: Headers) -> Caller:
        """For what is no request with an answer; counted as one. Raises as `admit` does, and
        `rate_limited`.
        """
        caller = await self._callers.identify(headers)
        allowance = self._taken(caller)
        if allowance.retry_after is not None:
            raise self._too_many(caller, allowance)
        return caller

    async def still_known(self, headers: Headers) -> Caller:
        """The same later on: not counted."""
        return await self._callers.identify(headers)

    def _taken(self, caller: Caller) -> Allowance:
        return self._limiter.take(caller.key_id, self._limit(caller))

    def _limit(self, caller: Caller) -> int:
        return caller.rate_limit or self._per_minute

    def _too_many(self, caller: Caller, allowance: Allowance) -> BerthError:
        detail = f"this key may make {self._limit(caller)} requests a minute"
        return BerthError(Code.RATE_LIMITED, detail, retry_after=allowance.retry_after)


def _with_headers(send: Send, headers: list[tuple[bytes, bytes]]) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return wrapped
