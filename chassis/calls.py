"""Calls between services, made from the `Endpoint` values of `contracts`, over any transport.

A call that can be repeated is: after connection errors, timeouts and 500, 502, 503, 504, with full
jitter, until its deadline. Failures of a target in a row open its breaker: calls fail at once, then
one of them probes.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Literal, Protocol, Self, TypeVar
from urllib.parse import quote

import msgspec

from chassis.breaker import Breaker
from chassis.clock import Clock, SystemClock
from chassis.errors import CallFailed
from chassis.telemetry import span, traceparent
from contracts.endpoint import Endpoint
from contracts.errors import Problem

Req = TypeVar("Req")
Res = TypeVar("Res")

RETRIED = frozenset({500, 502, 503, 504})
ATTEMPTS = 5
BACKOFF_FIRST = 0.1
BACKOFF_LONGEST = 5.0


class Unreachable(Exception):
    """No connection, or one that broke."""


class Unreadable(Exception):
    """An answer of another shape or size than was agreed."""


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    path: str
    headers: dict[str, str]
    content: bytes | None
    idempotent: bool


class Incoming(msgspec.Struct, frozen=True, kw_only=True):
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    content: bytes

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300


class Transport(Protocol):
    async def exchange(self, request: Outgoing) -> Incoming:
        """Raises `Unreachable`, `TimeoutError`, `Unreadable`."""
        ...

    async def aclose(self) -> None: ...


class Calls:
    """`key` is sent as a bearer token; `target` is the service's name in errors and traces."""

    def __init__(
        self,
        transport: Transport,
        *,
        key: str | None = None,
        target: str,
        clock: Clock | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.target = target
        self._transport = transport
        self._clock = clock or SystemClock()
        self._attempts = attempts
        self._breaker = Breaker(self._clock)
        self._headers = {"authorization": f"Bearer {key}"} if key else {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._transport.aclose()

    async def call(
        self,
        endpoint: Endpoint[Req, Res],
        body: Req,
        *,
        path: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        deadline: float | None = None,
        paced: bool = False,
    ) -> Res:
        """Raises `CallFailed`. `deadline` replaces the endpoint's: seconds, for all attempts.

        `paced`: made at a pace of its own, which an open breaker lets pass as its probe.
        """
        ends = self._clock.monotonic() + (deadline or endpoint.deadline)
        request = self._request(endpoint, body, path or {}, headers or {})
        attempt = 0
        while True:
            attempt += 1
            try:
                if not paced:
                    self._ask_breaker(request, attempt)
                content = await self._attempt(request, attempt, ends)
                return _decoded(content, endpoint.response)
            except Unreadable as error:
                raise self._failed(request, "http", str(error), attempt) from error
            except CallFailed as failure:
                pause = _pause(failure, attempt)
                last = attempt >= self._attempts or not endpoint.idempotent
                if last or pause is None or self._clock.monotonic() + pause >= ends:
                    raise
            await self._clock.sleep(pause)

    def _request(
        self,
        endpoint: Endpoint[Req, Res],
        body: Req,
        path: Mapping[str, str],
        headers: Mapping[str, str],
    ) -> Outgoing:
        parts = {name: quote(value, safe="") for name, value in path.items()}
        return Outgoing(
            method=endpoint.method,
            path=endpoint.path.format_map(parts),
            headers={"content-type": "application/json", **self._headers, **headers},
            content=None if endpoint.method == "GET" else msgspec.json.encode(body),
            idempotent=endpoint.idempotent,
        )

    def _ask_breaker(self, request: Outgoing, attempt: int) -> None:
        refused = self._breaker.refusal()
        if refused is not None:
            reason = "its breaker is open"
            raise self._failed(request, "network", reason, attempt - 1, retry_after=refused)

    async def _attempt(self, request: Outgoing, attempt: int, ends: float) -> bytes:
        with self._breaker.watching(), span(f"call {self.target} {request.path}"):
            if (header := traceparent()) is not None:
                request.headers["traceparent"] = header
            try:
                async with asyncio.timeout(ends - self._clock.monotonic()):
                    answer = await self._transport.exchange(request)
            except (TimeoutError, Unreachable) as error:
                self._breaker.failed()
                kind = "timeout" if isinstance(error, TimeoutError) else "network"
                raise self._failed(request, kind, repr(error), attempt) from error
            return self._content(request, answer, attempt)

    def _content(self, request: Outgoing, answer: Incoming, attempt: int) -> bytes:
        # a 500 is one endpoint's bug: only what says "the service is ill" counts
        if answer.status in RETRIED - {500}:
            self._breaker.failed()
        else:
            self._breaker.succeeded()
        if answer.good:
            return answer.content
        raise self._failed(request, "http", "", attempt, answer=answer)

    def _failed(
        self,
        request: Outgoing,
        kind: Literal["http", "timeout", "network"],
        reason: str,
        attempts: int,
        *,
        answer: Incoming | None = None,
        retry_after: float | None = None,
    ) -> CallFailed:
        problem = _problem(answer) if answer is not None else None
        status = answer.status if answer is not None else None
        if answer is not None:
            retry_after = _seconds(answer.headers.get("retry-after"))
        return CallFailed(
            kind,
            target=self.target,
            path=request.path,
            attempts=attempts,
            reason=reason or (problem.detail if problem else f"status {status}"),
            status=status,
            problem=problem,
            retry_after=retry_after,
        )


def _decoded(content: bytes, kind: type[Res]) -> Res:
    try:
        return msgspec.json.decode(content or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        raise Unreadable(f"the answer is not a {kind.__name__}: {error}") from error


def _problem(answer: Incoming) -> Problem | None:
    try:
        return msgspec.json.decode(answer.content, type=Problem)
    except msgspec.MsgspecError:
        return None


def _seconds(retry_after: str | None) -> float | None:
    # its other form, a date, is not used between our services
    return float(retry_after) if retry_after and retry_after.isdecimal() else None


def _pause(failure: CallFailed, attempt: int) -> float | None:
    """Seconds before the next attempt; None if there should be none."""
    if failure.kind == "http" and failure.status not in RETRIED:
        return None
    if failure.attempts < attempt:  # the breaker refused: fail at once, that is what it is for
        return None
    longest = min(BACKOFF_FIRST * 2 ** (attempt - 1), BACKOFF_LONGEST)
    jittered = random.uniform(0, longest)  # noqa: S311  # no secret depends on it
    return max(jittered, failure.retry_after or 0.0)
