"""A conversation from an archive, on its way into a log of ours: new ids, nobody's names. Pure.

Whoever sends an archive may have written it himself: no event of it speaks for anybody here.
"""

import datetime
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import msgspec

from chassis.ids import new_id
from contracts.archives import AnyLine, ArchivedEvent, ArchivedRun
from contracts.events import (
    AnyEvent,
    HumanLoopRequested,
    HumanLoopResolved,
    MessageUser,
    RunFinished,
    kind_of,
)
from contracts.reasons import Reason
from control_plane.domain.transcripts import CONVERSATION

MOST_REQUESTS = 100_000
YEARS = range(1970, 9999)

_decode: Callable[[bytes], AnyLine] = msgspec.json.Decoder(AnyLine).decode


class BadLine(Exception):
    """What is wrong with it, for whoever sent it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event and its run's number."""

    run: int
    attempt: int
    event: AnyEvent
    line: ArchivedEvent


@dataclass(slots=True)
class Lines:
    """Reads a transcript's lines in order."""

    runs: int = 0
    events: int = 0
    requests: dict[UUID, UUID] = field(default_factory=dict[UUID, UUID])
    bare: bool = False
    """The last line was a run: an event of it must follow."""

    def read(self, raw: bytes) -> ArchivedRun | Entry:
        """Raises `BadLine`."""
        try:
            line = _decode(raw)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise BadLine(str(error)[:300]) from error
        if isinstance(line, ArchivedRun):
            return self._run(line)
        last = self.runs - 1
        if not 0 <= line.run <= last or (self.bare and line.run != last):
            raise BadLine(f"an event of run {line.run} where one of run {last} was expected")
        self.bare = False
        _require_times(line.at)
        if kind_of(line.event) not in CONVERSATION:
            raise BadLine(f"{kind_of(line.event)} is no part of a conversation")
        self.events += 1
        return Entry(line.run, line.attempt, self._ours(line.event), line)

    def _run(self, run: ArchivedRun) -> ArchivedRun:
        if run.number != self.runs or self.bare:
            raise BadLine(f"run {run.number} where run {self.runs} was expected")
        if run.reason is not None and run.reason not in set(Reason):
            raise BadLine(f"reason: there is no {run.reason[:100]!r}")
        _require_times(run.created_at, run.started_at, run.finished_at)
        self.runs += 1
        self.bare = True
        return run

    def _ours(self, event: AnyEvent) -> AnyEvent:
        match event:
            case MessageUser():
                return msgspec.structs.replace(event, user_id=None)
            case HumanLoopRequested():
                request_id = self._request(event.request_id)
                return msgspec.structs.replace(event, request_id=request_id)
            case HumanLoopResolved():
                request_id = self._request(event.request_id)
                return msgspec.structs.replace(event, request_id=request_id, by=None)
            case RunFinished():
                return msgspec.structs.replace(event, snapshot_id=None)
            case _:
                return event

    def _request(self, request_id: UUID) -> UUID:
        if request_id not in self.requests and len(self.requests) >= MOST_REQUESTS:
            raise BadLine(f"more than {MOST_REQUESTS} questions")
        return self.requests.setdefault(request_id, new_id())


def _require_times(*times: datetime.datetime | None) -> None:
    if any(time is not None and time.year not in YEARS for time in times):
        raise BadLine(f"a time that is not from {YEARS.start} to {YEARS.stop - 1}")
