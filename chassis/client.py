"""Calls between services, made from the `Endpoint` values of `contracts`.

A call that can be repeated is: after connection errors, timeouts and 500, 502, 503, 504, with full
jitter, until its deadline. Failures of a target in a row open its breaker: calls fail at once, then
one of them probes.
"""

import asyncio
import random
from collections.abc import Mapping
from typing import Literal, Self, TypeVar
from urllib.parse import quote

import httpx
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
CONNECT_SECONDS = 3.0
BACKOFF_FIRST = 0.1
BACKOFF_LONGEST = 5.0
KEEP_IDLE_SECONDS = 20.0
"""Less than a server keeps an idle connection (`chassis.server`), or calls meet its end."""


class ServiceClient:
    """`key` is sent as a bearer token; `target` is the service's name in errors and traces."""

    def __init__(
        self,
        base_url: str,
        *,
        uds: str | None = None,
        key: str | None = None,
        target: str,
        clock: Clock | None = None,
        attempts: int = ATTEMPTS,
    ) -> None:
        self.target = target
        self._clock = clock or SystemClock()
        self._attempts = attempts
        self._breaker = Breaker(self._clock)
        self._headers = {"authorization": f"Bearer {key}"} if key else {}
        limits = httpx.Limits(max_connections=None, keepalive_expiry=KEEP_IDLE_SECONDS)
        self._http = httpx.AsyncClient(
            base_url=base_url,
            transport=httpx.AsyncHTTPTransport(uds=uds, limits=limits),
            trust_env=False,  # a proxy from the environment must never see these calls
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        await self._http.aclose()

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
            except _Undecodable as error:
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
    ) -> httpx.Request:
        parts = {name: quote(value, safe="") for name, value in path.items()}
        return self._http.build_request(
            endpoint.method,
            endpoint.path.format_map(parts),
            content=None if endpoint.method == "GET" else msgspec.json.encode(body),
            headers={"content-type": "application/json", **self._headers, **headers},
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
        )

    def _ask_breaker(self, request: httpx.Request, attempt: int) -> None:
        refused = self._breaker.refusal()
        if refused is not None:
            reason = "its breaker is open"
            raise self._failed(request, "network", reason, attempt - 1, retry_after=refused)

    async def _attempt(self, request: httpx.Request, attempt: int, ends: float) -> bytes:
        with self._breaker.watching(), span(f"call {self.target} {request.url.path}"):
            if (header := traceparent()) is not None:
                request.headers["traceparent"] = header
            try:
                async with asyncio.timeout(ends - self._clock.monotonic()):
                    response = await self._http.send(request)
            except (TimeoutError, httpx.TransportError) as error:
                self._breaker.failed()
                # nothing was sent yet when connecting took too long
                late = isinstance(error, TimeoutError | httpx.TimeoutException)
                unsent = isinstance(error, httpx.ConnectTimeout)
                kind = "timeout" if late and not unsent else "network"
                raise self._failed(request, kind, repr(error), attempt) from error
            return self._content(request, response, attempt)

    def _content(self, request: httpx.Request, response: httpx.Response, attempt: int) -> bytes:
        # a 500 is one endpoint's bug: only what says "the service is ill" counts
        if response.status_code in RETRIED - {500}:
            self._breaker.failed()
        else:
            self._breaker.succeeded()
        if response.is_success:
            return response.content
        raise self._failed(request, "http", "", attempt, response=response)

    def _failed(
        self,
        request: httpx.Request,
        kind: Literal["http", "timeout", "network"],
        reason: str,
        attempts: int,
        *,
        response: httpx.Response | None = None,
        retry_after: float | None = None,
    ) -> CallFailed:
        problem = _problem(response) if response is not None else None
        status = response.status_code if response is not None else None
        if response is not None:
            retry_after = _seconds(response.headers.get("retry-after"))
        return CallFailed(
            kind,
            target=self.target,
            path=request.url.path,
            attempts=attempts,
            reason=reason or (problem.detail if problem else f"status {status}"),
            status=status,
            problem=problem,
            retry_after=retry_after,
        )


class _Undecodable(Exception):
    """A successful answer of another shape than the endpoint declares."""


def _decoded(content: bytes, kind: type[Res]) -> Res:
    try:
        return msgspec.json.decode(content or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        raise _Undecodable(f"the answer is not a {kind.__name__}: {error}") from error


def _problem(response: httpx.Response) -> Problem | None:
    try:
        return msgspec.json.decode(response.content, type=Problem)
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
