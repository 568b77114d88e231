"""SSE fan-out: ours, from a commit in Postgres to the last subscriber, beside Litestar's own ways.

The peers have it easier: their events never leave the process; one queue for each subscriber, and
`ServerSentEvent` or a `Stream` of bytes that are encoded already. Ours reads every event from the
log of a real Postgres into which another process commits, and answers through the whole replica.
Figures: deliveries a second when saturated, latency when paced. Ratios are of one run.
"""

import asyncio
import contextlib
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

import sql.migrate
from bench.sse_servers import event
from chassis.ids import new_id
from control_plane.services.wakeups import Wakeups
from control_plane.store.database import Wakes
from tests.fixtures.postgres import embedded_postgres

MARK = b"event: run.log"
DEADLINE = 120.0
BATCH = 50
"""Events in one transaction, as executors report them."""


# --- subscribers -----------------------------------------------------------------------------


@dataclass
class Counts:
    """Of all subscribers together."""

    wanted: int
    seen: int = 0
    done: asyncio.Event = field(default_factory=asyncio.Event)
    latencies: list[float] | None = None


class Subscriber(asyncio.Protocol):
    def __init__(self, counts: Counts, ready: asyncio.Future[None]) -> None:
        self._counts = counts
        self._ready = ready
        self._tail = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.write(b"GET /stream HTTP/1.1\r\nHost: bench\r\n\r\n")  # type: ignore[attr-defined]  # a transport

    def data_received(self, data: bytes) -> None:
        if not self._ready.done():
            self._ready.set_result(None)
        data = self._tail + data
        # a mark that is cut counts with its second half
        self._tail = data[-(len(MARK) - 1) :]
        counts = self._counts
        counts.seen += data.count(MARK)
        if counts.latencies is not None:
            now = time.monotonic_ns()
            for part in data.split(b'"sent":')[1:]:
                sent, brace, _ = part.partition(b"}")
                if brace:
                    counts.latencies.append((now - int(sent)) / 1e6)
        if counts.seen >= counts.wanted:
            counts.done.set()


async def subscribe(port: int, number: int, counts: Counts) -> list[asyncio.Transport]:
    loop = asyncio.get_running_loop()
    transports: list[asyncio.Transport] = []
    for _ in range(number):
        ready = loop.create_future()
        transport, _protocol = await loop.create_connection(
            lambda ready=ready: Subscriber(counts, ready), "127.0.0.1", port
        )
        transports.append(transport)
        await ready  # the head of the answer has come
    return transports


# --- writers ---------------------------------------------------------------------------------

Send = Callable[[int, int], Coroutine[Any, Any, None]]


class Writer:
    """Commits to the log as another replica would."""

    def __init__(self, connection: asyncpg.Connection, wakeups: Wakeups, session: UUID) -> None:
        self._connection = connection
        self._wakeups = wakeups
        self._session = session

    async def send(self, _first: int, count: int) -> None:
        for start in range(0, count, BATCH):
            await self._append(min(BATCH, count - start))

    async def _append(self, count: int) -> None:
        async with self._connection.transaction():
            last = await self._connection.fetchval(
                "SELECT last_seq FROM streams WHERE id = $1 FOR UPDATE", self._session
            )
            await self._connection.execute(
                "INSERT INTO events (stream_id, seq, project_id, session_id, kind, payload)"
                " SELECT $1, $2 + place, $1, $1, 'run.log', payload"
                " FROM unnest($3::text[]) WITH ORDINALITY AS new (payload, place)",
                self._session,
                last,
                [event() for _ in range(count)],
            )
            await self._connection.execute(
                "UPDATE streams SET last_seq = $2 WHERE id = $1", self._session, last + count
            )
        self._wakeups.publish(Wakes(streams={self._session}))


def remote(port: int) -> Send:
    async def send(first: int, count: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            f"POST /send?first={first}&count={count} HTTP/1.1\r\nHost: bench\r\n"
            "Content-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        await reader.read()
        writer.close()

    return send


# --- measuring -------------------------------------------------------------------------------


async def saturated(port: int, send: Send, subscribers: int, events: int) -> float:
    """Deliveries a second, from the first event that is handed over to the last that arrives."""
    counts = Counts(subscribers * events)
    transports = await subscribe(port, subscribers, counts)
    began = time.monotonic()
    sending = asyncio.create_task(send(1, events))
    await asyncio.wait_for(counts.done.wait(), DEADLINE)
    seconds = time.monotonic() - began
    await sending
    for transport in transports:
        transport.close()
    return counts.wanted / seconds


async def paced(port: int, send: Send, subscribers: int, events: int) -> tuple[float, float]:
    """At ten events a second: p50 and p99 in ms, from before the commit to the subscriber."""
    counts = Counts(subscribers * events, latencies=[])
    transports = await subscribe(port, subscribers, counts)
    for seq in range(events):
        await asyncio.gather(send(seq, 1), asyncio.sleep(0.1))
    await asyncio.wait_for(counts.done.wait(), DEADLINE)
    for transport in transports:
        transport.close()
    found = statistics.quantiles(counts.latencies or [0.0], n=100)
    return found[49], found[98]


@contextlib.asynccontextmanager
async def server(kind: str, port: int, database_url: str, session: UUID) -> AsyncGenerator[None]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.sse_servers", kind, str(port), stdin=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdin is not None
        process.stdin.write(f"{database_url} {session}\n".encode())
        async with asyncio.timeout(30):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield
    finally:
        process.kill()
        await process.wait()


@dataclass
class Log:
    """A session in a database, and who writes to it."""

    url: str
    session: UUID
    writer: Writer


@contextlib.asynccontextmanager
async def log() -> AsyncGenerator[Log]:
    """In an embedded Postgres with its real durability."""
    with tempfile.TemporaryDirectory(prefix="berth-bench-") as folder:
        os.chmod(folder, 0o711)  # noqa: PTH101, S103 # Postgres's own user passes through
        postgres = embedded_postgres(Path(folder), test_tuning=False)
        await postgres.start()
        url = postgres.url()
        await sql.migrate.upgrade(url)
        connection = await asyncpg.connect(url)
        wakeups = Wakeups(url)
        wakeups.start()
        session = new_id()
        await connection.execute("INSERT INTO projects (id, name) VALUES ($1, 'bench')", session)
        await connection.execute(
            "INSERT INTO streams (id, kind, project_id) VALUES ($1, 'session', $1)", session
        )
        try:
            yield Log(url, session, Writer(connection, wakeups, session))
        finally:
            await wakeups.stop()
            await connection.close()
            await postgres.stop()


async def measure(kind: str, log: Log, port: int, scale: float) -> dict[str, float]:
    send = log.writer.send if kind == "berth" else remote(port)
    figures: dict[str, float] = {}
    for subscribers, events in ((100, int(2000 * scale)), (500, int(1000 * scale))):
        async with server(kind, port, log.url, log.session):
            figures[f"per_second_{subscribers}"] = round(
                await saturated(port, send, subscribers, events)
            )
    async with server(kind, port, log.url, log.session):
        p50, p99 = await paced(port, send, 500, int(50 * scale))
    return figures | {"p50_ms_500": round(p50, 2), "p99_ms_500": round(p99, 2)}


async def run(scale: float) -> None:
    results: dict[str, dict[str, float]] = {}
    async with log() as place:
        for kind in ("server_sent_event", "stream", "berth"):
            results[kind] = await measure(kind, place, free_port(), scale)
            print(kind, results[kind])
    ours_now, theirs = results["berth"], results["server_sent_event"]
    ratios = {
        f"ratio_{n}": round(ours_now[f"per_second_{n}"] / theirs[f"per_second_{n}"], 2)
        for n in (100, 500)
    }
    print(json.dumps({"bench": "sse", "load": os.getloadavg()[0], **ratios, **results}))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main() -> None:
    asyncio.run(run(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0))


if __name__ == "__main__":
    main()
