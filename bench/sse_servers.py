"""The servers that `bench.sse` measures: `python -m bench.sse_servers <kind> <port>`.

The database's URL and the session come on standard input, because arguments can be read by all.
"""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from uuid import UUID

import uvicorn
from litestar import Litestar, get, post
from litestar.response import ServerSentEvent, ServerSentEventMessage, Stream

from chassis.logs import configure_logging
from control_plane.routes.streams import sse_response
from control_plane.services.fanout import Fanout
from control_plane.services.streams import Streams
from control_plane.services.wakeups import Wakeups
from control_plane.store.database import Database, open_pool

TEXT = "x" * 90
TAG = "0" * 32


def event() -> str:
    """`sent`: when it was handed over."""
    now = time.monotonic_ns()
    return f'{{"kind":"run.log","level":"info","text":"{TEXT}","sent":{now}}}'


def entry(seq: int) -> str:
    """As large as a log entry of ours."""
    return (
        f'{{"id":"{TAG}.{seq}","seq":{seq},"session_id":"{TAG}0000","run_id":null,"attempt":null,'
        f'"epoch":null,"at":"2026-01-01T00:00:00.000000Z","trace_id":"","event":{event()}}}'
    )


@dataclass(frozen=True)
class Told:
    seq: int
    text: str
    frame: bytes


class Queues:
    """A queue for each subscriber, as is usual."""

    def __init__(self) -> None:
        self._all: list[asyncio.Queue[Told]] = []

    def put(self, told: Told) -> None:
        for queue in self._all:
            queue.put_nowait(told)

    def join(self) -> asyncio.Queue[Told]:
        queue: asyncio.Queue[Told] = asyncio.Queue()
        self._all.append(queue)
        return queue


async def frames(queue: asyncio.Queue[Told]) -> AsyncGenerator[bytes]:
    """Encoded once for all."""
    while True:
        yield (await queue.get()).frame


async def messages(queue: asyncio.Queue[Told]) -> AsyncGenerator[ServerSentEventMessage]:
    while True:
        told = await queue.get()
        yield ServerSentEventMessage(id=f"{TAG}.{told.seq}", event="run.log", data=told.text)


def peer(*, raw: bool) -> Litestar:
    queues = Queues()

    @get("/stream")
    async def stream() -> Stream:
        if raw:
            return Stream(frames(queues.join()), media_type="text/event-stream")
        return ServerSentEvent(messages(queues.join()))

    @post("/send")
    async def send(first: int, count: int) -> None:
        for seq in range(first, first + count):
            text = entry(seq)
            frame = f"id: {TAG}.{seq}\nevent: run.log\ndata: {text}\n\n".encode()
            queues.put(Told(seq, text, frame))

    return Litestar([stream, send], logging_config=None)


def ours(database_url: str, session: UUID) -> Litestar:
    wakeups = Wakeups(database_url)
    running: list[Streams] = []

    @contextlib.asynccontextmanager
    async def life(_app: Litestar) -> AsyncGenerator[None]:
        database = Database(await open_pool(database_url, size=12, application="bench"), wakeups)
        fanout = Fanout(database, wakeups, poll_seconds=2.0)
        running.append(Streams(database, fanout, heartbeat_seconds=10.0))
        wakeups.start()
        fanout.start()
        yield
        await fanout.stop()
        await wakeups.stop()
        await database.close()

    @get("/stream")
    async def stream() -> Stream:
        return sse_response(await running[0].open(session))

    return Litestar([stream], lifespan=[life], logging_config=None)


def main() -> None:
    kind, port = sys.argv[1], int(sys.argv[2])
    database_url, session = sys.stdin.readline().split()
    configure_logging("bench", "error")
    app = ours(database_url, UUID(session)) if kind == "berth" else peer(raw=kind == "stream")
    uvicorn.run(app, port=port, log_level="error", access_log=False, lifespan="on")


if __name__ == "__main__":
    main()
