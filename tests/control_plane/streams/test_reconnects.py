"""A client that comes and goes sees the log's events, each once, in order."""

import asyncio
import random
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from tests.control_plane.streams.replicas import (
    DEADLINE,
    MakeReplica,
    Replica,
    Sse,
    log_of,
    parse,
    seqs,
    write,
)
from tests.fixtures.office import Office

DISCONNECTS = 100
WRITERS = 3


class Client:
    """Keeps what came whole, and goes on behind the last of it."""

    def __init__(self, session: UUID, chance: random.Random) -> None:
        self._session = session
        self._chance = chance
        self.seen: list[Sse] = []

    async def visit(self, replica: Replica, *, until: int | None = None) -> None:
        """Leaves at a random moment: after some bytes, in the middle of some, or while waiting."""
        cursor = self.seen[-1].id if self.seen else f"{self._session.hex}.0"
        chunks = await replica.streams.open(self._session, cursor=cursor)
        try:
            async with asyncio.timeout(DEADLINE if until else self._chance.uniform(0, 0.04)):
                for _ in range(10**6 if until else self._chance.randrange(1, 9)):
                    self._take(await anext(chunks), whole=until is not None)
                    if until is not None and len(self.seen) >= until:
                        return
        except (TimeoutError, StopAsyncIteration):
            pass
        finally:
            await chunks.aclose()  # type: ignore[attr-defined] # an asynchronous generator

    def _take(self, chunk: bytes, *, whole: bool) -> None:
        cut = (
            len(chunk)
            if whole or self._chance.random() < 0.8
            else self._chance.randrange(len(chunk))
        )
        self.seen += [one for one in parse(chunk[:cut]) if one.id]
        if cut < len(chunk):
            raise StopAsyncIteration


def chance_of(seed: str) -> random.Random:
    return random.Random(seed)  # no secret: the seed makes a failure come again


@asynccontextmanager
async def writing(office: Office, session: UUID, seed: int) -> AsyncGenerator[None]:
    """Several writers together, each transaction of a random length, until the end of the block."""
    done = asyncio.Event()

    async def writer(number: int) -> None:
        chance = chance_of(f"{seed} {number}")
        while not done.is_set():
            texts = [f"{number} {one}" for one in range(chance.randrange(1, 7))]
            await write(office, session, *texts)

    tasks = [asyncio.create_task(writer(number)) for number in range(WRITERS)]
    try:
        yield
    finally:
        done.set()
        await asyncio.gather(*tasks)


async def test_reconnect__at_random_moments_across_replicas(
    office: Office, make_replica: MakeReplica, record_property: Callable[[str, object], None]
) -> None:
    seed = secrets.randbelow(10**9)
    record_property("seed", seed)
    print(f"seed {seed}")  # noqa: T201 # pytest shows it where the test fails
    session = await office.session()
    small = {"ring_frames": 50, "ring_easy": 2000, "page_rows": 20, "chunk_size": 3000}
    replicas = [await make_replica(**small), await make_replica(**small)]
    client = Client(session, chance_of(f"{seed}"))
    async with writing(office, session, seed):
        for visit in range(DISCONNECTS):
            if visit == DISCONNECTS // 2:
                await replicas[1].close()
                replicas[1] = await make_replica(**small)
            await client.visit(replicas[visit % 2])
    log = await log_of(office, session)
    await client.visit(replicas[0], until=len(log))
    assert seqs(client.seen) == log == list(range(1, len(log) + 1))
    assert all(replica.fanout.viewers == 0 for replica in replicas)


async def test_stop__ends_streams_whose_readers_go_on_elsewhere(
    office: Office, make_replica: MakeReplica
) -> None:
    session = await office.session()
    leaving, staying = await make_replica(), await make_replica()
    reader = await leaving.read(session)
    await anext(reader.chunks)
    rest = asyncio.create_task(reader.rest())
    await write(office, session, "a")
    leaving.fanout.end()
    seen = await rest
    assert seen[-1].event == "bye"
    await write(office, session, "b")
    cursor = next((one.id for one in reversed(seen) if one.id), f"{session.hex}.0")
    seen += await (await staying.read(session, cursor=cursor)).count(2 - len(seqs(seen)))
    assert seqs(seen) == [1, 2]
