"""One answer of a provider on its way to whoever asked: as it comes, metered, and never a cut one
that looks whole.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol

from chassis.errors import DependencyUnavailable
from control_plane.domain.model_requests import SHORTEST_SECRET, Lines, Way, holds, to_caller
from control_plane.domain.model_usage import Meter, Usage, meter_for, tokens_of
from control_plane.services.model_provider import AnswerCut, ProviderAnswer
from control_plane.store.model_calls import Closing, EndState, Source

EVENT_STREAM = "text/event-stream"
REFUSAL_BYTES = 1024 * 1024
LINGER = 5.0
"""Seconds that a body may stay open behind its last event."""
ID_SHOWN = 200
REDACTED = b"[redacted]"

_OVER = b""


class Sink(Protocol):
    """Whoever asked. Each waits until there is room for it."""

    async def start(self, status: int, headers: Lines) -> None: ...

    async def part(self, data: bytes) -> None: ...

    async def end(self) -> None: ...


class Passing:
    """`book` is called when what it used is known, before the caller sees its end."""

    def __init__(
        self, way: Way, *, key: str, request_bytes: int, book: Callable[[], Awaitable[None]]
    ) -> None:
        self._way = way
        self._key = key
        self._request_bytes = request_bytes
        self._book = book
        self._status: int | None = None
        self._request_id = ""
        self._meter: Meter | None = None

    def closing(self, *, sent: bool) -> Closing:
        """`sent`: the provider was told something of the request."""
        meter = self._meter
        if not sent or (self._status is not None and self._status >= 300):
            return self._closing("refused", Usage(), None)
        if meter is None:
            estimate = Usage(input_tokens=tokens_of(self._request_bytes))
            return self._closing("cut", estimate, "estimated")
        source = "metered" if meter.metered else "estimated"
        if meter.failed:
            return self._closing("refused", meter.usage(), source)
        return self._closing("completed" if meter.ended else "cut", meter.usage(), source)

    async def run(self, answer: ProviderAnswer, sink: Sink) -> None:
        """Raises `AnswerCut` once the answer has begun, before that a BerthError."""
        self._status = answer.status
        self._request_id = "" if holds(answer.request_id, self._key) else answer.request_id
        if answer.packed:
            self._status = None
            raise DependencyUnavailable("the upstream's answer", "it is packed, unasked")
        if 200 <= answer.status < 300:
            await self._answer(answer, sink)
        elif answer.status >= 400:
            await self._refusal(answer, sink)
        else:
            how = "it redirects; an administrator sets its url to where it leads"
            raise DependencyUnavailable("the upstream", how)

    async def _answer(self, answer: ProviderAnswer, sink: Sink) -> None:
        streamed = answer.content_type == EVENT_STREAM
        meter = self._meter = meter_for(
            self._way.wire_format, streamed=streamed, request_bytes=self._request_bytes
        )
        await sink.start(answer.status, to_caller(answer.headers, self._key))
        async with aclosing(answer.parts()) as parts:
            while part := await self._next(parts, meter):
                ended = meter.ended
                meter.feed(part)
                if meter.ended and not ended:
                    await self._book()
                await sink.part(part)
        meter.end()
        if not meter.ended:
            raise AnswerCut("it ended before its end")
        await self._book()
        await sink.end()

    async def _next(self, parts: AsyncGenerator[bytes], meter: Meter) -> bytes:
        """Behind an answer's last event nothing can be cut any more."""
        if not meter.ended:
            return await anext(parts, _OVER)
        try:
            async with asyncio.timeout(LINGER):
                return await anext(parts, _OVER)
        except (AnswerCut, TimeoutError):
            return _OVER

    async def _refusal(self, answer: ProviderAnswer, sink: Sink) -> None:
        """As it is, but for a key that it repeats."""
        body = bytearray()
        async with aclosing(answer.parts()) as parts:
            async for part in parts:
                body += part
                if len(body) > REFUSAL_BYTES:
                    raise AnswerCut("its refusal has no end")
        key = self._key.encode()
        told = bytes(body) if len(key) < SHORTEST_SECRET else body.replace(key, REDACTED)
        await self._book()
        await sink.start(answer.status, to_caller(answer.headers, self._key))
        await sink.part(bytes(told))
        await sink.end()

    def _closing(self, state: EndState, usage: Usage, source: Source | None) -> Closing:
        said = self._meter.provider_id if self._meter else ""
        provider_id = "".join(c for c in said or self._request_id if c.isprintable())
        return Closing(
            state=state,
            status=self._status,
            source=source,
            usage=usage,
            provider_id=provider_id[:ID_SHOWN],
        )
