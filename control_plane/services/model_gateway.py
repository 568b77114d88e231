"""The model gateway: a worker's call to a provider, with the project's key, booked at the source.

It passes on and meters, it does not translate. No transaction and no connection of the database is
held while a provider answers.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from chassis.errors import BerthError, Stale
from chassis.ids import new_id
from chassis.logs import get_logger
from contracts.errors import Code
from contracts.models import WireFormat
from control_plane.domain.access import WorkerCaller
from control_plane.domain.model_requests import Wanted, Way, to_provider
from control_plane.domain.model_usage import tokens_of
from control_plane.services.model_calls import ModelCalls
from control_plane.services.model_passing import Passing, Sink
from control_plane.services.model_provider import AnswerCut, Content, Provider
from control_plane.services.model_upstreams import Chosen, ModelUpstreams, Offered
from control_plane.services.under_way import UnderWay
from control_plane.store.model_calls import NewCall

OVERDUE = 60.0
"""Seconds after a call's deadline at which nobody can be booking it any more."""

_log = get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    worker: WorkerCaller
    way: Way
    want: Wanted
    query: str
    """With its question mark, or empty: what of it may pass."""
    headers: Iterable[tuple[str, str]]
    """Names in lower case."""


class ModelGateway:
    """`seconds`: the longest that one call may take."""

    def __init__(
        self, upstreams: ModelUpstreams, calls: ModelCalls, *, seconds: float, silence: float
    ) -> None:
        self._upstreams = upstreams
        self._calls = calls
        self._provider = Provider(silence=silence)
        self._seconds = seconds
        self._under_way = UnderWay()

    async def stop(self) -> None:
        """What is under way is cut, and booked so."""
        await self._under_way.cut()
        await self._calls.stop()
        await self._provider.aclose()

    async def offered(self, worker: WorkerCaller, wire_format: WireFormat | None) -> list[Offered]:
        return await self._upstreams.offered(worker.project_id, wire_format)

    async def pass_on(self, asked: Asked, sink: Sink) -> None:
        """Raises BerthError while nothing was sent to the sink, `AnswerCut` afterwards."""
        worker = asked.worker
        if worker.released:
            raise Stale(Code.STALE_EPOCH, "this worker was released", epoch=worker.epoch)
        chosen = await self._upstreams.choose(
            worker.project_id, asked.way.wire_format, asked.want.model
        )
        call = _Call(self._calls, asked, chosen)
        with self._under_way.noted():
            try:
                await call.open(self._seconds + OVERDUE)
                await self._exchange(call, sink)
            finally:
                await call.close()

    async def _exchange(self, call: "_Call", sink: Sink) -> None:
        begun = _Begun(sink)
        try:
            async with (
                asyncio.timeout(self._seconds),
                self._provider.asked(
                    call.chosen.name, call.url, call.headers, call.content
                ) as answer,
            ):
                await call.passing.run(answer, begun)
        except TimeoutError:
            detail = f"the call took longer than {self._seconds:g} s"
            if not begun.begun:
                raise BerthError(Code.UPSTREAM_TIMEOUT, detail) from None
            raise AnswerCut(detail) from None
        except AnswerCut as cut:
            _log.warning("model_answer_cut", upstream=call.chosen.name, why=str(cut))
            if begun.begun:
                raise
            raise BerthError(Code.UPSTREAM_TIMEOUT, "the answer was cut") from None


class _Call:
    """Its booking, opened and closed once."""

    def __init__(self, calls: ModelCalls, asked: Asked, chosen: Chosen) -> None:
        self.chosen = chosen
        self.url = f"{chosen.url}{asked.way.path}{asked.query}"
        self.headers = to_provider(asked.headers, chosen.auth, chosen.key)
        self.passing = Passing(
            asked.way, key=chosen.key, request_bytes=asked.want.size, book=self.close
        )
        self.content = Content(asked.want.take())
        self._id: UUID = new_id()
        self._calls = calls
        self._asked = asked
        self._closed = not asked.way.booked

    async def open(self, seconds: float) -> None:
        if self._closed:
            return
        worker = self._asked.worker
        new = NewCall(
            id=self._id,
            project_id=worker.project_id,
            session_id=worker.session_id,
            worker_id=worker.id,
            upstream=self.chosen.name,
            path=self._asked.way.path,
            model=self._asked.want.model,
            input_estimate=tokens_of(self._asked.want.size),
            seconds=seconds,
        )
        try:
            await self._calls.open(new)
        except Exception:
            self._closed = True  # there is nothing to close
            raise

    async def close(self) -> None:
        if not self._closed:
            self._closed = True
            closing = self.passing.closing(sent=self.content.begun)
            await self._calls.close(self._id, closing)


class _Begun:
    """A sink that remembers whether something was sent."""

    def __init__(self, sink: Sink) -> None:
        self.begun = False
        self._sink = sink

    async def start(self, status: int, headers: list[tuple[str, str]]) -> None:
        self.begun = True
        await self._sink.start(status, headers)

    async def part(self, data: bytes) -> None:
        await self._sink.part(data)

    async def end(self) -> None:
        await self._sink.end()
