"""Replay, then live, then an end that says why; on a real log."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.errors import BerthError, NotFound
from chassis.failpoints import arm
from contracts.errors import Code
from contracts.events import RunClosed
from control_plane.domain import log_cursor
from control_plane.services import wakeups
from control_plane.services.streams import BYE, RETRY
from tests.control_plane.streams.replicas import (
    DEADLINE,
    MakeReplica,
    Reader,
    Replica,
    Sse,
    log_of,
    seqs,
    write,
)
from tests.fixtures.barriers import Barrier
from tests.fixtures.deadlines import eventually
from tests.fixtures.office import Office

FIRST = {"replay_last": 1000}


@pytest.fixture
async def session(office: Office) -> UUID:
    return await office.session()


def texts(entries: list[Sse]) -> list[str]:
    return [one.data["event"]["text"] for one in entries if one.event == "run.log"]


async def test_open__replays_then_goes_on_live(
    here: Replica, office: Office, session: UUID
) -> None:
    await write(office, session, "a", "b")
    reader = await here.read(session, **FIRST)
    await reader.count(2)
    await write(office, session, "c")
    assert texts(await reader.count(3)) == ["a", "b", "c"]


async def test_open__frame_is_a_log_entry(here: Replica, office: Office, session: UUID) -> None:
    await write(office, session, "héllo\n☃")
    reader = await here.read(session, **FIRST)
    (entry,) = await reader.count(1)
    assert (entry.id, entry.event) == (f"{session.hex}.1", "run.log")
    assert entry.data["id"] == entry.id
    assert entry.data["session_id"] == str(session)
    assert entry.data["event"]["text"] == "héllo\n☃"


async def test_open__begins_with_retry_and_is_from_now(
    here: Replica, office: Office, session: UUID
) -> None:
    await write(office, session, "before")
    reader = await here.read(session)
    assert await anext(reader.chunks) == RETRY
    await write(office, session, "after")
    assert texts(await reader.count(1)) == ["after"]


async def test_open__event_committed_between_replay_and_live(
    here: Replica, office: Office, session: UUID
) -> None:
    await write(office, session, "a", "b")
    other = await here.read(session)  # a topic with a ring that begins behind the replay
    await anext(other.chunks)
    waiting = asyncio.create_task(other.count(1))
    barrier = Barrier()
    arm("stream.replayed", barrier.action)
    reader = await here.read(session, cursor=log_cursor.cursor(session, 0))
    reading = asyncio.create_task(reader.count(3))
    await barrier.reached()
    await write(office, session, "c")
    await waiting  # the ring has it, the page that was read has not
    barrier.release()
    assert seqs(await reading) == [1, 2, 3]
    await write(office, session, "d")
    assert seqs(await reader.count(4)) == [1, 2, 3, 4]


async def test_open__event_between_the_bounds_and_the_watch(
    here: Replica, office: Office, session: UUID
) -> None:
    reader = await here.read(session)  # opened, and not yet watching
    await write(office, session, "a")
    assert seqs(await reader.count(1)) == [1]


async def test_open__many_pages_of_rows_and_of_bytes(
    make_replica: MakeReplica, office: Office, session: UUID
) -> None:
    here = await make_replica(page_rows=7, page_size=3000, chunk_size=500)
    for start in range(0, 60, 20):
        await write(
            office, session, *["é" * ((one * 97) % 1200) for one in range(start, start + 20)]
        )
    reader = await here.read(session, **FIRST)
    await reader.count(60)
    await write(office, session, *["y" * 900] * 20)
    assert seqs(await reader.count(80)) == list(range(1, 81))


async def test_open__without_any_wake_polling_finds_it(
    make_replica: MakeReplica, office: Office, session: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await make_replica(poll=0.05)
    reader = await here.read(session, **FIRST)
    await write(office, session, "a")
    await reader.count(1)
    monkeypatch.setattr(here.wakeups, "_dispatch", lambda *_, **__: None)
    await write(office, session, "b")
    assert seqs(await reader.count(2)) == [1, 2]


async def test_open__listen_backend_terminated(
    make_replica: MakeReplica, office: Office, session: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not come back: what is written then is found by polling alone."""
    monkeypatch.setattr(wakeups, "BACKOFF_SECONDS", (3600.0,))
    here = await make_replica(poll=0.3)
    reader = await here.read(session)
    await write(office, session, "a")
    await reader.count(1)
    await office.value(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'replica-wakeups' AND datname = current_database()"
    )

    async def nobody_listens() -> bool:
        return not await office.value(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'replica-wakeups' AND datname = current_database()"
        )

    await eventually(nobody_listens, "a backend listens", within=DEADLINE)
    await write(office, session, "b")
    assert seqs(await reader.count(2)) == [1, 2]


async def test_open__database_away_for_a_moment(
    make_replica: MakeReplica, office: Office, session: UUID
) -> None:
    here = await make_replica(poll=0.05)
    reader = await here.read(session)
    await write(office, session, "a")
    await reader.count(1)
    await office.value(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name IN ('replica-wakeups', 'replica') AND datname = current_database()"
    )
    await write(office, session, "b")
    assert seqs(await reader.count(2)) == [1, 2]


async def test_replay_last__so_many(here: Replica, office: Office, session: UUID) -> None:
    await write(office, session, *"abcde")
    reader = await here.read(session, replay_last=2)
    assert texts(await reader.count(2)) == ["d", "e"]


async def test_cursor__goes_on_behind_it(here: Replica, office: Office, session: UUID) -> None:
    await write(office, session, *"abc")
    reader = await here.read(session, cursor=f"{session.hex}.1", replay_last=3)
    assert texts(await reader.count(2)) == ["b", "c"]


async def test_cursor__refused_before_anything_is_sent(
    here: Replica, office: Office, session: UUID
) -> None:
    await write(office, session, *"abc")
    await office.execute("UPDATE streams SET first_seq = 3 WHERE id = $1", session)
    for cursor, code in [
        ("nonsense", Code.BAD_CURSOR),
        (f"{session.hex}.4", Code.BAD_CURSOR),
        (f"{uuid4().hex}.2", Code.BAD_CURSOR),
        (f"{session.hex}.1", Code.CURSOR_EXPIRED),
    ]:
        with pytest.raises(BerthError) as refused:
            await here.streams.open(session, cursor=cursor)
        assert refused.value.code is code
    await here.streams.open(session, cursor=f"{session.hex}.2")


async def test_open__unknown(here: Replica) -> None:
    with pytest.raises(NotFound) as missing:
        await here.streams.open(uuid4())
    assert missing.value.code is Code.SESSION_NOT_FOUND
    with pytest.raises(NotFound) as missing:
        await here.streams.open_run(uuid4())
    assert missing.value.code is Code.RUN_NOT_FOUND


# --- a run's stream --------------------------------------------------------------------------


async def test_run__only_its_own_from_its_first_to_its_end(
    here: Replica, office: Office, session: UUID
) -> None:
    await write(office, session, "noise")
    run = (await office.enqueue(session)).run_id
    await write(office, session, "x", run=run)
    reader = Reader(await here.streams.open_run(run))
    rest = asyncio.create_task(reader.rest())
    await write(office, session, "noise")
    await write(office, session, "y", RunClosed(state="succeeded"), run=run)
    await write(office, session, "noise")
    seen = await rest
    assert seqs(seen) == await log_of(office, session, run)
    assert [one.event for one in seen] == [
        "message.user", "run.queued", "run.log", "run.log", "run.closed",
    ]  # fmt: skip


async def test_run__that_is_over_replays_and_ends(here: Replica, office: Office) -> None:
    run = (await office.enqueue(await office.session())).run_id
    await office.runs.cancel(run)
    seen = await Reader(await here.streams.open_run(run)).rest()
    assert [one.event for one in seen][-1] == "run.closed"


async def test_run__end_before_the_cursor(here: Replica, office: Office, session: UUID) -> None:
    run = (await office.enqueue(session)).run_id
    await office.runs.cancel(run)
    last = (await log_of(office, session, run))[-1]
    chunks = await here.streams.open_run(run, cursor=log_cursor.cursor(session, last))
    assert await Reader(chunks).rest() == []


async def test_run__over_with_its_events_gone(here: Replica, office: Office, session: UUID) -> None:
    run = (await office.enqueue(session)).run_id
    await office.runs.cancel(run)
    await write(office, session, "later")
    last = (await log_of(office, session, run))[-1]
    await office.execute("DELETE FROM events WHERE run_id = $1", run)
    await office.execute("UPDATE streams SET first_seq = $2 WHERE id = $1", session, last + 1)
    assert await Reader(await here.streams.open_run(run)).rest() == []


async def test_run__replay_last_counts_its_own(
    here: Replica, office: Office, session: UUID
) -> None:
    run = (await office.enqueue(session)).run_id
    await write(office, session, *["noise"] * 5)
    await office.runs.cancel(run)
    seen = await Reader(await here.streams.open_run(run, replay_last=2)).rest()
    assert [one.event for one in seen] == ["run.finished", "run.closed"]


# --- ends and pauses -------------------------------------------------------------------------


async def test_heartbeat__while_nothing_happens(make_replica: MakeReplica, session: UUID) -> None:
    here = await make_replica(heartbeat=0.02)
    reader = await here.read(session)
    beats = await reader.until(lambda seen: len(seen) >= 3)
    assert {(one.event, one.id) for one in beats} == {("heartbeat", "")}


async def test_end__readers_are_told_good_bye(here: Replica, session: UUID) -> None:
    reader = await here.read(session)
    assert await anext(reader.chunks) == RETRY
    farewell = asyncio.create_task(reader.rest())
    await asyncio.sleep(0)
    here.fanout.end()
    assert [one.event for one in await farewell] == ["bye"]
    assert b"retry: 1000" in BYE
    assert [one.event for one in await (await here.read(session)).rest()] == ["bye"]


async def test_still_allowed__asked_again_and_refused(
    here: Replica, office: Office, session: UUID
) -> None:
    answers = [True, True, False]
    asked = asyncio.Event()

    async def still_allowed() -> bool:
        asked.set()
        return answers.pop(0)

    reader = await here.read(session, still_allowed=still_allowed)
    rest = asyncio.create_task(reader.rest())
    await asked.wait()
    assert [one.event for one in await rest] == ["bye"]
    assert answers == []


async def test_still_allowed__database_away_ends_the_stream(here: Replica, session: UUID) -> None:
    async def still_allowed() -> bool:
        raise asyncpg.InterfaceError("away")

    reader = await here.read(session, still_allowed=still_allowed)
    assert [one.event for one in await reader.rest()] == ["bye"]


async def test_leave__last_viewer_ends_the_topic(
    here: Replica, office: Office, session: UUID
) -> None:
    await write(office, session, "a")
    readers = [await here.read(session, **FIRST) for _ in range(2)]
    for reader in readers:
        await reader.count(1)
    assert here.fanout.viewers == 2
    for reader in readers:
        await reader.close()
    assert here.fanout.viewers == 0
    assert here.fanout._topics == {}
    assert here.wakeups._subscriptions == {}


async def test_wait__holds_no_database_connection(
    here: Replica, office: Office, session: UUID
) -> None:
    pool = here.database._pool
    readers = [await here.read(session) for _ in range(20)]
    waiting = [asyncio.create_task(reader.count(1)) for reader in readers]

    async def none_is_held() -> bool:
        """The first reads and the poll have some for a moment; what a wait holds stays held."""
        return here.fanout.viewers == 20 and pool.get_idle_size() == pool.get_size()

    await eventually(none_is_held, "waiting readers hold connections", within=DEADLINE)
    assert not any(one.done() for one in waiting)
    await write(office, session, "a")
    assert [seqs(await one) for one in waiting] == [[1]] * 20


async def test_poll__one_statement_for_all_topics(
    make_replica: MakeReplica, office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = await make_replica(poll=60.0)
    sessions = [await office.session() for _ in range(5)]
    readers = [await here.read(one, **FIRST) for one in sessions]
    for one, reader in zip(sessions, readers, strict=True):
        await write(office, one, "a")
        await reader.count(1)
    monkeypatch.setattr(here.wakeups, "_dispatch", lambda *_, **__: None)
    for one in sessions:
        await write(office, one, "b")
    await here.fanout._poll()
    assert [seqs(await reader.count(2)) for reader in readers] == [[1, 2]] * 5
