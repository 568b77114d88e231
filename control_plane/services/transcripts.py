"""What a session's past was, told to an agent that has lost its own memory of it.

Read backwards and in pages, until the room that was asked for is full: neither the memory nor the
work depends on how long the session is.
"""

from uuid import UUID

from chassis.errors import NotFound, Stale
from contracts.errors import Code
from contracts.transcripts import AskTranscript, Transcript
from control_plane.domain.access import WorkerCaller
from control_plane.domain.transcripts import TOLD, Telling, read
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


class _Reading:
    def __init__(self, connection: Connection, asked: Asked, ask: AskTranscript) -> None:
        self.telling = Telling(ask.max_bytes)
        self._connection = connection
        self._asked = asked
        self._ask = ask
        self._read = 0

    async def all(self) -> int:
        """How many earlier runs found no room."""
        line_no = self._asked.line_no
        if not await self._own():
            return await self._count(line_no)
        while runs := await store.told_before(
            self._connection,
            self._asked.session_id,
            line_no,
            rows=RUNS_AT_ONCE,
            length=self._ask.max_bytes,
        ):
            for run in runs:
                if not self.telling.begin(run.told):
                    return await self._count(line_no)
                line_no = run.line_no
                if not await self._events(run.id, EVERY_ATTEMPT):
                    return await self._count(line_no)
                self.telling.end(run.told)
        return 0

    async def _count(self, line_no: int) -> int:
        return await store.count_before(self._connection, self._asked.session_id, line_no)

    async def _own(self) -> bool:
        """Earlier attempts of the run that is to begin. False: there is no room for more."""
        if self._asked.attempt == 1:
            return True
        self.telling.begin_own()
        roomy = await self._events(self._ask.run_id, self._asked.attempt)
        self.telling.end_own()
        return roomy

    async def _events(self, run_id: UUID, attempt: int) -> bool:
        before = EVERY_EVENT
        while True:
            page = await store.page_back(
                self._connection,
                self._asked.session_id,
                run_id,
                before=before,
                attempt=attempt,
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
