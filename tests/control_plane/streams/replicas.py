"""Replicas with their fan-out, a reader of SSE, and short words for writing to a log."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from contracts.events import AnyEvent, RunLog
from control_plane.services.events import Events
from control_plane.services.fanout import Fanout, Limits
from control_plane.services.projector import Projector
from control_plane.services.streams import Streams
from control_plane.services.wakeups import Wakeups
from control_plane.store import session_saves, session_states
from control_plane.store.database import Database, open_pool
from tests.fixtures.office import Office

DEADLINE = 15.0
LISTENER = "replica-wakeups"


@dataclass(frozen=True)
class Sse:
    id: str
    event: str
    data: Any


def parse(data: bytes) -> list[Sse]:
    """Whole frames only, as a browser reads them: what was cut is not seen."""
    found: list[Sse] = []
    for block in data.split(b"\n\n")[:-1]:
        lines = dict(line.split(b": ", 1) for line in block.split(b"\n"))
        if b"event" in lines:
            body = lines.get(b"data", b"null")
            found.append(
                Sse(
                    lines.get(b"id", b"").decode(),
                    lines[b"event"].decode(),
                    msgspec.json.decode(body),
                )
            )
    return found


@dataclass
class Reader:
    """Pulls a stream and keeps what came."""

    chunks: AsyncIterator[bytes]
    seen: list[Sse] = field(default_factory=list)

    async def until(self, enough: Callable[[list[Sse]], bool]) -> list[Sse]:
        async with asyncio.timeout(DEADLINE):
            while not enough(self.seen):
                self.seen += parse(await anext(self.chunks))
        return self.seen

    async def count(self, number: int) -> list[Sse]:
        """So many entries of the log."""
        await self.until(lambda seen: len([one for one in seen if one.id]) >= number)
        return [one for one in self.seen if one.id]

    async def kind(self, name: str) -> list[Sse]:
        return await self.until(lambda seen: any(one.event == name for one in seen))

    async def rest(self) -> list[Sse]:
        """Until the stream ends by itself."""
        async with asyncio.timeout(DEADLINE):
            async for chunk in self.chunks:
                self.seen += parse(chunk)
        return self.seen

    async def close(self) -> None:
        await self.chunks.aclose()  # type: ignore[attr-defined] # an asynchronous generator


class Replica:
    """What serves streams in one process. Its heartbeats come to tests that ask for them alone."""

    def __init__(
        self, database_url: str, *, poll: float = 0.2, heartbeat: float = 3600.0, **changes: Any
    ) -> None:
        self.url = database_url
        self.wakeups = Wakeups(database_url, application=LISTENER)
        self._poll = poll
        self._heartbeat = heartbeat
        self._changes = changes

    async def open(self) -> None:
        pool = await open_pool(self.url, size=6, application="replica")
        self.database = Database(pool, self.wakeups)
        self.fanout = Fanout(
            self.database,
            self.wakeups,
            poll_seconds=self._poll,
            limits=Limits(**self._changes),
        )
        self.streams = Streams(
            self.database, self.fanout, heartbeat_seconds=self._heartbeat, check_seconds=0.05
        )
        self.events = Events(self.database)
        self.projector = Projector(self.database)
        self.wakeups.start()
        self.fanout.start()
        async with asyncio.timeout(DEADLINE):
            await self.wakeups.connected()

    async def close(self) -> None:
        await self.fanout.stop()
        await self.wakeups.stop()
        await asyncio.wait_for(self.database.close(), DEADLINE)

    async def read(self, stream_id: UUID, **where: Any) -> Reader:
        return Reader(await self.streams.open(stream_id, **where))


MakeReplica = Callable[..., Awaitable[Replica]]


async def write(
    office: Office, session: UUID, *events: AnyEvent | str, run: UUID | None = None
) -> list[int]:
    """In one transaction, as every writer does: lock, tell, save. Gives their seqs."""
    async with office.database.unit() as unit:
        loaded = await session_states.lock(unit, [session])
        state = loaded.states[session]
        for event in events:
            told = state.tell(RunLog(text=event) if isinstance(event, str) else event)
            told.run_id = run
        await session_saves.save(unit, loaded)
        return [event.seq for event in state.events]


async def log_of(office: Office, stream: UUID, run: UUID | None = None) -> list[int]:
    rows = await office.fetch(
        "SELECT seq FROM events WHERE stream_id = $1 AND ($2::uuid IS NULL OR run_id = $2)"
        " ORDER BY seq",
        stream,
        run,
    )
    return [row["seq"] for row in rows]


def seqs(entries: list[Sse]) -> list[int]:
    return [one.data["seq"] for one in entries if one.id]
