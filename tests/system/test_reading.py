"""A reader that is cut off at random moments sees the log, through restarts and two replicas."""

import asyncio
import random
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import UUID

import httpx
import msgspec

from cli.client import ApiClient
from cli.sse import frames, lines_of
from contracts.events import RawLogEntry
from tests.fixtures.deadlines import eventually
from tests.fixtures.stack import EmbeddedStack
from tests.system.conftest import Figures
from tests.system.oracle import examine, log_of
from tests.system.visitor import Visitor
from tests.system.voyages import voyage

CUTS = 100
LONGEST = 0.12
"""Seconds of one connection, at most: 100 of them take about as long as the run."""
WITHIN = 120.0


@dataclass
class Reader:
    """Reads a run through one of several gateways, each connection another, until it is closed."""

    clients: list[ApiClient]
    run_id: UUID
    dice: random.Random
    cuts_left: int = CUTS
    last_id: str = ""
    seen: list[int] = field(default_factory=list[int])
    cut_off: int = 0
    closed: bool = False

    async def read(self) -> None:
        async with asyncio.timeout(WITHIN):
            while not self.closed:
                try:
                    await self._connection()
                except (httpx.TransportError, TimeoutError):
                    self.cut_off += 1
                    await asyncio.sleep(0.01)  # a replica that is away refuses at once

    async def _connection(self) -> None:
        limit = self.dice.uniform(0.0, LONGEST) if self.cuts_left else None
        self.cuts_left -= self.cuts_left > 0
        async with asyncio.timeout(limit):
            await self._follow(self.dice.choice(self.clients).http)

    async def _follow(self, http: httpx.AsyncClient) -> None:
        headers = {"Accept": "text/event-stream"}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        path = f"/api/v1/runs/{self.run_id}/stream"
        async with http.stream("GET", path, headers=headers) as response:
            if response.status_code == 503:
                raise httpx.ConnectError("the control plane behind this gateway is away")
            assert response.is_success, (response.status_code, await response.aread())
            async with aclosing(frames(lines_of(response.aiter_raw()))) as found:
                async for frame in found:
                    if frame.id and frame.data:
                        self._take(frame.id, frame.data)

    def _take(self, event_id: str, data: str) -> None:
        entry = msgspec.json.decode(data, type=RawLogEntry)
        self.last_id = event_id
        self.seen.append(entry.seq)
        self.closed = b'"run.closed"' in bytes(entry.event)


async def test_reader__cut_off_100_times_sees_exactly_the_log(
    stack: EmbeddedStack, visitor: Visitor, figures: Figures
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    figures.add("seed of the cuts", seed)
    async with stack.replica() as second, stack.client(second) as other:
        made = voyage(stack, pieces=160, held=True)
        shadow = await visitor.send(made.prompt)
        reader = Reader([stack.api, other], shadow.run_id, random.Random(seed))
        reading = asyncio.create_task(reader.read())
        await shadow.until(lambda seen: len(seen) > 40)
        former = await stack.kill9("control-plane")
        await stack.back("control-plane", former)

        async def cut_often() -> bool:
            return reader.cut_off >= CUTS // 2

        await eventually(cut_often, "the reader is not cut off")
        made.go.touch()
        await visitor.succeeded(shadow)
        await reading
    rows = await log_of(stack, visitor.session_of(shadow))
    assert reader.seen == [row.seq for row in rows if row.run_id == shadow.run_id]
    figures.add("reader", f"{reader.cut_off} cuts, {len(reader.seen)} events, two replicas")
    await examine(stack, visitor)
