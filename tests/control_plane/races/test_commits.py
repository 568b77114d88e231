"""Two snapshots of one session that do not know of each other: one becomes the head, the other is
refused by its name.
"""

import asyncio
from uuid import UUID

from chassis.failpoints import arm, disarm_all
from tests.fixtures.barriers import Barrier
from tests.fixtures.office import Office


async def head_of(office: Office, session: UUID) -> UUID:
    return await office.value("SELECT head_snapshot_id FROM sessions WHERE id = $1", session)


async def test_commit__two_with_one_parent_the_later_is_refused(office: Office) -> None:
    session = await office.session()
    berth = await office.running(session, await office.host())
    parent = berth.head
    first = berth.snapshot()
    berth.head = parent
    second = berth.snapshot()
    answer = await office.report(berth, first, second)
    assert [one.code for one in answer.refused] == ["head_moved"]
    assert await head_of(office, session) == first.snapshot.id
    assert await office.value("SELECT count(*) FROM snapshots") == 1


async def test_commit__two_workers_at_once_the_one_in_charge_wins(office: Office) -> None:
    """The former one's manifest arrives while the next one commits its own."""
    session, hosts = await office.session(), [await office.host(), await office.host()]
    former = await office.running(session, hosts[0])
    await office.expire(former)
    assert await office.rescue.reclaim() == 1
    await office.execute("UPDATE runs SET available_at = now() WHERE state = 'queued'")
    new = await office.claim(hosts[1])
    new.head = former.head
    barrier = Barrier()
    arm("report.begun", barrier.action)
    late = asyncio.create_task(office.report(former, former.snapshot()))
    await barrier.reached()
    disarm_all()
    mine = new.snapshot()
    accepted = await office.report(new, mine)
    barrier.release()
    (outcome,) = await asyncio.gather(late, return_exceptions=True)
    assert accepted.refused == []
    assert isinstance(outcome, Exception)
    assert await head_of(office, session) == mine.snapshot.id
    assert await office.value("SELECT count(*) FROM snapshots") == 1
