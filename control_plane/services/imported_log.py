"""The transcript of an archive: checked line by line, then written as a session's log."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import IO
from uuid import UUID

from chassis.errors import BerthError
from chassis.ids import new_id
from contracts.archives import MOST_LINE_BYTES, MOST_LINES, ArchivedRun
from contracts.errors import Code
from contracts.events import kind_of
from control_plane.domain.archives import BadLine, Entry, Lines
from control_plane.services.tars import wrong
from control_plane.store import archives
from control_plane.store.archives import NewLogEvent, NewRun
from control_plane.store.database import Unit, text

ROWS_AT_ONCE = 1000
ROW_BYTES_AT_ONCE = 4 * 1024 * 1024


def check_lines(lines: Lines, content: bytes, name: str) -> None:
    """Of one member. Raises `validation_failed`, `too_large`."""
    if content and not content.endswith(b"\n"):
        raise wrong("whole lines", f"{name} ends within one")
    for raw in content.split(b"\n")[:-1]:
        if len(raw) > MOST_LINE_BYTES or lines.runs + lines.events >= MOST_LINES:
            raise BerthError(Code.TOO_LARGE, "the archive's transcript is too long")
        try:
            lines.read(raw)
        except BadLine as error:
            raise wrong("lines of a conversation", f"{name}: {error}") from error


async def insert_log(
    unit: Unit, transcript: IO[bytes], *, session_id: UUID, project_id: UUID
) -> int:
    """Of lines that were checked: how many runs."""
    log = _Log()
    async for runs, events in log.batches(transcript):
        await archives.insert_runs(unit, runs, session_id=session_id, project_id=project_id)
        await archives.insert_events(unit, events, session_id=session_id, project_id=project_id)
    await archives.advance(unit, session_id, log.seq)
    return len(log.runs)


class _Log:
    """The lines that were checked, once more, as rows."""

    def __init__(self) -> None:
        self.runs: list[UUID] = []
        self.seq = 0
        self._lines = Lines()

    async def batches(
        self, transcript: IO[bytes]
    ) -> AsyncGenerator[tuple[list[NewRun], list[NewLogEvent]]]:
        await asyncio.to_thread(transcript.seek, 0)
        batches = self._batches(transcript)
        while (batch := await asyncio.to_thread(next, batches, None)) is not None:
            yield batch

    def _batches(self, transcript: IO[bytes]) -> Iterator[tuple[list[NewRun], list[NewLogEvent]]]:
        runs: list[NewRun] = []
        events: list[NewLogEvent] = []
        size = 0
        for raw in transcript:
            size += len(raw)
            line = self._lines.read(raw)
            if isinstance(line, ArchivedRun):
                self.runs.append(new_id())
                runs.append(NewRun(self.runs[-1], self.seq + 1, line))
            else:
                events.append(self._event(line))
            if len(runs) + len(events) >= ROWS_AT_ONCE or size >= ROW_BYTES_AT_ONCE:
                yield runs, events
                runs, events, size = [], [], 0
        if runs or events:
            yield runs, events

    def _event(self, entry: Entry) -> NewLogEvent:
        self.seq += 1
        return NewLogEvent(
            seq=self.seq,
            run_id=self.runs[entry.run],
            attempt=entry.attempt,
            kind=kind_of(entry.event),
            payload=text(entry.event),
            at=entry.line.at,
        )
