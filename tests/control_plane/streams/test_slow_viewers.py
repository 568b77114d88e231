"""Who does not keep up costs no memory, hinders nobody, and is told to come again."""

import asyncio
from uuid import UUID

import pytest

from tests.control_plane.streams.replicas import (
    DEADLINE,
    MakeReplica,
    Reader,
    Replica,
    log_of,
    seqs,
    write,
)
from tests.fixtures.office import Office

SLOW = 200
RING = 20


@pytest.fixture
async def session(office: Office) -> UUID:
    return await office.session()


@pytest.fixture
async def here(make_replica: MakeReplica) -> Replica:
    return await make_replica(
        ring_frames=RING, ring_easy=500, page_rows=10, page_size=4000, chunk_size=1000
    )


async def live(replica: Replica, session: UUID, number: int) -> list[Reader]:
    """Readers that have taken one event from the ring, and then take nothing."""
    return [await replica.read(session, replay_last=1) for _ in range(number)]


async def test_slow__told_to_resync_and_dropped(
    here: Replica, office: Office, session: UUID
) -> None:
    await write(office, session, "first")
    fast, slow = await live(here, session, 2)
    await fast.count(1)
    await slow.count(1)
    await write(office, session, "live")
    await fast.count(2)
    await slow.count(2)
    for _ in range(10):
        await write(office, session, *["x" * 50] * 5)
        await fast.count(len(fast.seen) + 5)
    seen = await slow.rest()
    assert seen[-1].event == "resync"
    assert seen[-1].data == {"cursor": seen[-2].id}
    assert here.fanout.viewers == 1
    again = await here.read(session, cursor=seen[-1].data["cursor"])
    rest = await again.count(52 - len(seen) + 1)
    assert seqs(seen + rest) == await log_of(office, session)


async def test_slow__in_replay_is_never_dropped(
    here: Replica, office: Office, session: UUID
) -> None:
    await write(office, session, *["old"] * 40)
    fast, slow = await here.read(session), await here.read(session, cursor=f"{session.hex}.0")
    await anext(fast.chunks)
    await slow.count(10)
    for done in range(0, 60, 10):
        await write(office, session, *["new"] * 10)
        await fast.count(done + 10)
    assert seqs(await slow.count(100)) == list(range(1, 101))


async def test_slow__many_hold_a_bounded_ring(here: Replica, office: Office, session: UUID) -> None:
    await write(office, session, "first")
    readers = await live(here, session, SLOW)
    await asyncio.gather(*[reader.count(1) for reader in readers])
    await write(office, session, "live")
    await asyncio.gather(*[reader.count(2) for reader in readers])
    fast = (await live(here, session, 1))[0]
    await fast.count(1)
    for _ in range(30):
        await write(office, session, *["x" * 100] * 10)
        await fast.count(len(fast.seen) + 10)
        topic = here.fanout._topics[session]
        assert len(topic.ring) <= RING
        assert topic.ring.size <= RING * 1000
        assert len(topic._chunks) <= 16
    ends = await asyncio.gather(*[reader.rest() for reader in readers])
    assert {seen[-1].event for seen in ends} == {"resync"}
    assert here.fanout.viewers == 1


async def test_fast__ring_shrinks_behind_them(here: Replica, office: Office, session: UUID) -> None:
    fast = await here.read(session)
    await anext(fast.chunks)
    for done in range(0, 50, 5):
        await write(office, session, *["x" * 200] * 5)
        await fast.count(done + 5)
    assert here.fanout._topics[session].ring.size <= 500 + 10 * 600


async def test_late_commit__reader_never_skips(
    here: Replica, office: Office, session: UUID
) -> None:
    """Whoever takes an earlier seq holds the stream's row: nobody can commit a later one first."""
    reader = await here.read(session)
    await write(office, session, "first")
    await reader.count(1)
    held, release = asyncio.Event(), asyncio.Event()

    async def late() -> None:
        async with office.database.unit() as unit:
            await unit.connection.execute("SELECT FROM streams WHERE id = $1 FOR UPDATE", session)
            await _insert(unit.connection, session, 2)
            await unit.connection.execute("UPDATE streams SET last_seq = 2 WHERE id = $1", session)
            held.set()
            await release.wait()

    writing = asyncio.create_task(late())
    await held.wait()
    behind = asyncio.create_task(write(office, session, "behind"))
    await _somebody_waits(office)
    await here.fanout._poll()
    assert seqs(reader.seen) == [1]
    release.set()
    await asyncio.gather(writing, behind)
    assert seqs(await reader.count(3)) == [1, 2, 3]


async def test_late_commit__without_the_lock_an_event_is_lost(
    here: Replica, office: Office, session: UUID
) -> None:
    """What the lock is for: seqs handed out without it become visible out of order."""
    reader = await here.read(session)
    await write(office, session, "first")
    await reader.count(1)
    async with office.pool.acquire() as slow:
        transaction = slow.transaction()
        await transaction.start()
        await _insert(slow, session, 2)
        await office.execute("UPDATE streams SET last_seq = 3 WHERE id = $1", session)
        async with office.database.unit() as unit:
            await _insert(unit.connection, session, 3)
            unit.wakes.streams.add(session)
        await reader.count(2)
        await transaction.commit()
    await write(office, session, "last")
    assert seqs(await reader.count(3)) == [1, 3, 4]


async def _insert(connection: object, session: UUID, seq: int) -> None:
    await connection.execute(  # type: ignore[attr-defined] # a pool's connection
        "INSERT INTO events (stream_id, seq, project_id, session_id, kind, payload)"
        ' SELECT id, $2, project_id, id, \'run.log\', \'{"kind":"run.log","text":""}\''
        " FROM streams WHERE id = $1",
        session,
        seq,
    )


async def _somebody_waits(office: Office) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await office.value(  # noqa: ASYNC110 # Postgres tells nobody
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE wait_event_type = 'Lock' AND datname = current_database()"
        ):
            await asyncio.sleep(0.01)
