"""Wake-ups within a process and between processes; they are hints, and come back by themselves."""

import asyncio
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest

from control_plane.services import wakeups as wakeups_module
from control_plane.services.wakeups import Notice, Wakeups
from control_plane.store.database import Wakes
from control_plane.store.notices import CHANNEL
from tests.control_plane.streams.replicas import DEADLINE, MakeReplica, Replica
from tests.fixtures.deadlines import eventually
from tests.fixtures.office import Office

LONG = 30.0


def wakes(*streams: UUID) -> Wakes:
    return Wakes(streams=set(streams))


async def terminate_listeners(office: Office) -> int:
    return await office.value(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE application_name = 'replica-wakeups' AND datname = current_database()"
    )


async def reconnected(replica: Replica, office: Office, former: set[int]) -> None:
    """Until another backend listens."""
    async with asyncio.timeout(DEADLINE):
        while not await listeners(office) - former:  # noqa: ASYNC110 # Postgres tells nobody
            await asyncio.sleep(0.01)
        await replica.wakeups.connected()


async def former_ones_have_ended(office: Office) -> None:
    """A backend outlives its client, which hung up at the end of another test, by a moment."""

    async def only_one() -> bool:
        return len(await listeners(office)) == 1

    await eventually(only_one, "former replicas' backends listen", within=DEADLINE)


async def listeners(office: Office) -> set[int]:
    rows = await office.fetch(
        "SELECT pid FROM pg_stat_activity WHERE application_name = 'replica-wakeups'"
        " AND datname = current_database()"
    )
    return {row["pid"] for row in rows}


async def test_wait__woken_by_publish_in_the_same_process(here: Replica) -> None:
    topic = uuid4()
    with here.wakeups.subscribe(topic) as woken:
        here.wakeups.publish(wakes(topic))
        assert await woken.wait(LONG)


async def test_wait__publish_between_check_and_wait_is_not_lost(here: Replica) -> None:
    topic = uuid4()
    with here.wakeups.subscribe(topic) as woken:
        assert not await woken.wait(0)  # the check; nothing had happened
        here.wakeups.publish(wakes(topic))
        assert await woken.wait(0)
        assert not await woken.wait(0)  # told once


async def test_publish__each_topic_wakes_its_own(here: Replica) -> None:
    stream, manager = uuid4(), uuid4()
    told = {topic: here.wakeups.subscribe(topic) for topic in (stream, manager, "queue", "outbox")}
    here.wakeups.publish(Wakes(managers={manager}, outbox=True))
    woken = {topic for topic, one in told.items() if await one.wait(0)}
    assert woken == {manager, "outbox"}


async def test_publish__wakes_other_replicas(here: Replica, make_replica: MakeReplica) -> None:
    other = await make_replica()
    topics = [uuid4() for _ in range(700)]
    subscriptions = [other.wakeups.subscribe(topic) for topic in topics]
    queue = other.wakeups.subscribe("queue")
    here.wakeups.publish(Wakes(streams=set(topics[:350]), managers=set(topics[350:]), queue=True))
    assert all([await one.wait(LONG) for one in [*subscriptions, queue]])


async def test_publish__without_a_connection_is_harmless() -> None:
    alone = Wakeups("postgresql://nobody@127.0.0.1:1/none")
    alone.start()
    with alone.subscribe("queue") as woken:
        alone.publish(Wakes(queue=True))
        assert await woken.wait(0)
    await alone.stop()


async def test_notify__one_for_many_commits_and_never_too_long(
    here: Replica, clean_database: str
) -> None:
    payloads: list[str] = []
    told: list[UUID] = []
    topics = {uuid4() for _ in range(600)}
    arrived = asyncio.Event()

    def heard(_connection: object, _pid: int, _channel: str, payload: object) -> None:
        payloads.append(str(payload))
        told.extend(msgspec.json.decode(str(payload), type=Notice).streams)
        if len(told) >= len(topics):
            arrived.set()

    connection = await asyncpg.connect(clean_database)
    await connection.add_listener(CHANNEL, heard)
    for topic in topics:
        here.wakeups.publish(wakes(topic))
    async with asyncio.timeout(DEADLINE):
        await arrived.wait()
    await connection.close()
    assert len(payloads) <= 8  # not 600
    assert max(len(payload.encode()) for payload in payloads) < 7900
    assert set(told) == topics


async def test_listen__terminated_backend_comes_back_and_wakes_everybody(
    here: Replica, office: Office
) -> None:
    await former_ones_have_ended(office)
    former = await listeners(office)
    with here.wakeups.subscribe(uuid4()) as woken:
        await woken.wait(0)
        assert await terminate_listeners(office) == 1
        await reconnected(here, office, former)
        assert await woken.wait(LONG)


async def test_listen__works_again_after_it_came_back(
    here: Replica, office: Office, make_replica: MakeReplica
) -> None:
    former = await listeners(office)
    await terminate_listeners(office)
    await reconnected(here, office, former)
    other = await make_replica()
    topic = uuid4()
    with here.wakeups.subscribe(topic) as woken:
        await woken.wait(0)
        other.wakeups.publish(wakes(topic))
        assert await woken.wait(LONG)


async def test_stop__sends_what_was_published_before(
    here: Replica, make_replica: MakeReplica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups_module, "CLOSING_SECONDS", LONG)  # however slow the database is
    leaving = await make_replica()
    with here.wakeups.subscribe("outbox") as woken:
        leaving.wakeups.publish(Wakes(outbox=True))
        await leaving.wakeups.stop()
        assert await woken.wait(LONG)


async def test_close__leaves_nothing_behind(here: Replica) -> None:
    with here.wakeups.subscribe(uuid4()), here.wakeups.subscribe("queue"):
        pass
    assert here.wakeups._subscriptions == {}


async def test_notice__garbage_is_passed_over(here: Replica, office: Office) -> None:
    topic = uuid4()
    with here.wakeups.subscribe(topic) as woken:
        await office.value("SELECT pg_notify($1, 'what?')", CHANNEL)
        notice = msgspec.json.encode(Notice(streams=(topic,))).decode()
        await office.value("SELECT pg_notify($1, $2)", CHANNEL, notice)
        assert await woken.wait(LONG)
