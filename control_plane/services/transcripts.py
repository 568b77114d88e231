"""What a session's past was, told to an agent that has lost its own memory of it.

Read backwards and in pages, until the room that was asked for is full: neither the memory nor the
work depends on how long the session is.
"""

from dataclasses import dataclass
from uuid import UUID

from chassis.errors import NotFound, Stale
from contracts.errors import Code
from contracts.events import RawLogEntry
from contracts.log import RawLogPage
from contracts.transcripts import AskTranscript, Transcript
from control_plane.domain import log_cursor
from control_plane.domain.access import WorkerCaller
from control_plane.domain.branches import Stretch
from control_plane.domain.transcripts import CONVERSATION, TOLD, Telling, read
from control_plane.store import branches
from control_plane.store import transcripts as store
from control_plane.store.database import Connection, Database
from control_plane.store.transcripts import Asked

RUNS_AT_ONCE = 20
ROWS_AT_ONCE = 500
BYTES_AT_ONCE = 256 * 1024
MOST_READ = 32 * 1024 * 1024
"""Bytes of events that are looked through at most; what is older is left out."""
EVERY_ATTEMPT = 2**31 - 1
EVERY_EVENT = 2**63 - 1


class Transcripts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def tell(self, worker: WorkerCaller, ask: AskTranscript) -> Transcript:
        """Raises Stale: the epoch; NotFound: the run is not of this worker's session."""
        if ask.epoch != worker.epoch:
            raise Stale(Code.STALE_EPOCH, f"this worker's epoch is {worker.epoch}")
        async with self._database.reading() as connection:
            asked = await store.asked(connection, ask.run_id)
            if asked is None or asked.session_id != worker.session_id:
                raise NotFound(Code.RUN_NOT_FOUND, f"there is no run {ask.run_id}")
            reading = _Reading(connection, asked, ask)
            left_out = await reading.all()
        telling = reading.telling
        return Transcript(
            text=telling.text(left_out) if telling.runs else "",
            runs=telling.runs,
            left_out=left_out,
        )

    async def page(self, session_id: UUID, *, cursor: str | None, limit: int) -> RawLogPage:
        """What later runs of the session know of, oldest first: also another session's, of which
        it is a fork; not what a rollback left behind. Raises `bad_cursor`.
        """
        found: list[RawLogEntry] = []
        async with self._database.reading() as connection:
            stretches = await branches.past(
                connection, session_id, seq=EVERY_EVENT, line=EVERY_EVENT
            )
            for stretch, after in behind(list(reversed(stretches)), cursor):
                rows = limit + 1 - len(found)
                told = await store.page_on(
                    connection, stretch, after=after, kinds=CONVERSATION, rows=rows
                )
                found += [event.entry(stretch.session_id) for event in told]
                if len(found) > limit:
                    return RawLogPage(items=found[:limit], next_cursor=found[limit - 1].id)
        return RawLogPage(items=found)


def behind(stretches: list[Stretch], cursor: str | None) -> list[tuple[Stretch, int]]:
    """Oldest first, each with the place in its log behind which it is read. In one session's log
    a later stretch stands behind an earlier one.
    """
    if cursor is None:
        return [(stretch, 0) for stretch in stretches]
    stream_id, seq = log_cursor.place(cursor)
    for number, stretch in enumerate(stretches):
        if stretch.session_id == stream_id:
            left = stretches[number:]
            return [(one, seq if one.session_id == stream_id else 0) for one in left]
    raise log_cursor.bad("it belongs to no stream of this conversation")


@dataclass(frozen=True, slots=True)
class _Place:
    """Events of one run: of attempts before `attempt`, and before a place in the log."""

    session_id: UUID
    run_id: UUID
    attempt: int
    before: int


class _Reading:
    def __init__(self, connection: Connection, asked: Asked, ask: AskTranscript) -> None:
        self.telling = Telling(ask.max_bytes)
        self._connection = connection
        self._asked = asked
        self._ask = ask
        self._read = 0
        self._stretches: list[Stretch] = []

    async def all(self) -> int:
        """How many earlier runs found no room."""
        line_no = self._asked.line_no
        self._stretches = await branches.past(
            self._connection, self._asked.session_id, seq=line_no, line=line_no - 1
        )
        if not await self._own():
            return await self._count(0, line_no)
        for number, stretch in enumerate(self._stretches):
            line_no = await self._stretch(stretch)
            if line_no is not None:
                return await self._count(number, line_no)
        return 0

    async def _stretch(self, stretch: Stretch) -> int | None:
        """None, or the place in the line from which on there was room."""
        line_no = stretch.last + 1
        while runs := await store.told_before(
            self._connection, stretch, line_no, rows=RUNS_AT_ONCE, length=self._ask.max_bytes
        ):
            for run in runs:
                if not self.telling.begin(run.told):
                    return line_no
                line_no = run.line_no
                before = EVERY_EVENT
                if run.told.cut and stretch.until is not None:
                    before = stretch.until + 1
                place = _Place(stretch.session_id, run.id, EVERY_ATTEMPT, before)
                if not await self._events(place):
                    return line_no
                self.telling.end(run.told)
        return None

    async def _count(self, number: int, line_no: int) -> int:
        """Of the stretch with this number, and of those behind it."""
        left = await store.count_before(self._connection, self._stretches[number], line_no)
        for stretch in self._stretches[number + 1 :]:
            left += await store.count_before(self._connection, stretch, stretch.last + 1)
        return left

    async def _own(self) -> bool:
        """Earlier attempts of the run that is to begin. False: there is no room for more."""
        if self._asked.attempt == 1:
            return True
        self.telling.begin_own()
        roomy = await self._events(
            _Place(self._asked.session_id, self._ask.run_id, self._asked.attempt, EVERY_EVENT)
        )
        self.telling.end_own()
        return roomy

    async def _events(self, place: "_Place") -> bool:
        before = place.before
        while True:
            page = await store.page_back(
                self._connection,
                place.session_id,
                place.run_id,
                before=before,
                attempt=place.attempt,
                kinds=TOLD,
                rows=ROWS_AT_ONCE,
                size=BYTES_AT_ONCE,
            )
            for payload in page.payloads:
                event = read(payload)
                if event is not None and not self.telling.add(event):
                    return False
            before = page.before
            self._read += page.size
            if page.last:
                return True
            if self._read > MOST_READ:
                self.telling.cut_off()
                return False
