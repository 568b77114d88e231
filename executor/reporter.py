"""Puts what happened into the spool, with its time and its trace."""

import datetime
from typing import TypedDict
from uuid import UUID

import msgspec

from chassis.clock import wall_time
from chassis.telemetry import current_trace_id
from contracts.commands import RunSpec
from contracts.events import Event, RunWarning
from contracts.spool import AnyEntry, EventReported
from executor.spool import UNNUMBERED, Spool


class Stamp(TypedDict):
    """What every entry has: `SomeEntry(**reporter.stamp(), …)`."""

    seq: int
    at: datetime.datetime
    trace_id: str


class RunStamp(Stamp):
    run_id: UUID
    attempt: int


class Reporter:
    """For what belongs to the worker."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def stamp(self) -> Stamp:
        return Stamp(seq=UNNUMBERED, at=wall_time(), trace_id=current_trace_id())

    async def event(self, event: Event) -> None:
        raw = msgspec.Raw(msgspec.json.encode(event))
        await self.entry(EventReported(**self.stamp(), event=raw))

    async def entry(self, entry: AnyEntry) -> int:
        return await self._spool.append(entry)


class RunReporter:
    """For one attempt of one run. Made inside the run's trace."""

    def __init__(self, spool: Spool, spec: RunSpec) -> None:
        self.run_id = spec.run_id
        self.attempt = spec.attempt
        self.trace_id = current_trace_id()
        self._spool = spool

    def stamp(self) -> RunStamp:
        return RunStamp(
            seq=UNNUMBERED,
            at=wall_time(),
            trace_id=self.trace_id,
            run_id=self.run_id,
            attempt=self.attempt,
        )

    async def event(self, event: Event) -> None:
        """Never waits for room: who slows an agent down is `room`."""
        raw = msgspec.Raw(msgspec.json.encode(event))
        await self._spool.append(EventReported(**self.stamp(), event=raw), wait=False)

    async def room(self) -> None:
        await self._spool.room()

    async def warning(self, code: str, detail: str) -> None:
        await self.event(RunWarning(code=code, detail=detail))

    async def entry(self, entry: AnyEntry) -> int:
        return await self._spool.append(entry)
