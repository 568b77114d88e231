"""Limits under a crowd: a hundred starts at a limit of five, forced to meet; and without locks."""

import asyncio
from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from chassis.errors import BerthError
from chassis.failpoints import arm, disarm_all
from contracts.errors import Code
from contracts.managers import ClaimedRun
from contracts.quotas import Quota, Subject
from contracts.runs import RunOptions
from control_plane.services.quotas import Quotas
from control_plane.store import quotas
from tests.fixtures.barriers import Crowd
from tests.fixtures.berth import Berth
from tests.fixtures.guards import perhaps_without, query_of
from tests.fixtures.office import Host, Office

STARTS, LIMIT = 100, 5

both_ways = pytest.mark.parametrize("guarded", [True, False])

LIVE = "SELECT count(*) FROM session_workers WHERE released_at IS NULL AND superseded_at IS NULL"

LOCKS = [
    query_of(quotas, "lock_projects", " FOR NO KEY UPDATE", ""),
    query_of(quotas, "lock_users", " FOR NO KEY UPDATE", ""),
]


async def limit(office: Office, subject: Subject, one: UUID, **amounts: int) -> None:
    async with office.database.unit() as unit:
        await quotas.set_own(unit, subject, one, Quota(**amounts))


async def user(office: Office) -> UUID:
    return await office.value("INSERT INTO users (id, name) VALUES ($1, 'u') RETURNING id", uuid4())


async def send(office: Office, session: UUID, by: UUID | None) -> UUID:
    async with office.database.unit() as unit:
        queued = await office.runs.enqueue(
            unit, session, prompt="hello", options=RunOptions(), by=by
        )
    return queued.run_id


async def sent(office: Office, project: UUID, count: int, *, by: UUID | None = None) -> list[UUID]:
    """So many sessions, each with one run."""
    return [await send(office, await office.session(project), by) for _ in range(count)]


async def claims_at_once(offices: Sequence[Office], hosts: Sequence[Host]) -> list[ClaimedRun]:
    given = await asyncio.gather(
        *(offices[n % len(offices)].claim_all(host, free=20) for n, host in enumerate(hosts))
    )
    return [run for one in given for run in one]


async def accepted(tasks: list["asyncio.Task[UUID]"]) -> tuple[int, list[BerthError]]:
    done = await asyncio.gather(*tasks, return_exceptions=True)
    refused = [one for one in done if isinstance(one, BerthError)]
    assert [one for one in done if isinstance(one, BaseException) and one not in refused] == []
    assert {one.code for one in refused} <= {Code.LIMIT_REACHED}
    return len(done) - len(refused), refused


@both_ways
@pytest.mark.parametrize("subject", ["project", "user"])
async def test_workers__a_hundred_starts_never_exceed_the_limit(
    office: Office, replica: Office, *, guarded: bool, subject: Subject
) -> None:
    by = await user(office)
    projects = [await office.project() for _ in range(1 if subject == "project" else 4)]
    if subject == "project":
        await limit(office, "project", projects[0], max_workers=LIMIT)
    else:
        await limit(office, "user", by, max_workers=LIMIT)
    for project in projects:
        await sent(office, project, STARTS // len(projects), by=by)
    hosts = [await office.host() for _ in range(8)]
    with perhaps_without(*LOCKS, guarded=guarded):
        arm("claim.candidates", Crowd(len(hosts), all_come=True).action)
        arm("rooms.locked", Crowd(len(hosts), all_come=not guarded).action)
        given = await claims_at_once([office, replica], hosts)
    disarm_all()
    live = await office.value(LIVE)
    assert live == len(given)
    assert (live <= LIMIT) is guarded, live
    if guarded:
        more = [run for _ in range(3) for run in await claims_at_once([office, replica], hosts)]
        total = await office.value(LIVE)
        assert (total, len(given) + len(more)) == (LIMIT, LIMIT)


@both_ways
@pytest.mark.parametrize("name", ["max_queued", "runs_per_hour"])
@pytest.mark.parametrize("subject", ["project", "user"])
async def test_runs__a_hundred_at_once_are_accepted_up_to_the_limit(
    office: Office, replica: Office, *, guarded: bool, subject: Subject, name: str
) -> None:
    by, project = await user(office), await office.project()
    await limit(office, subject, project if subject == "project" else by, **{name: LIMIT})
    sessions = [await office.session(project) for _ in range(STARTS)]
    with perhaps_without(*LOCKS, guarded=guarded):
        arm("admission.locked", Crowd(8, all_come=not guarded).action)
        tasks = [
            asyncio.create_task(send([office, replica][n % 2], session, by))
            for n, session in enumerate(sessions)
        ]
        taken, refused = await accepted(tasks)
    disarm_all()
    assert await office.value("SELECT count(*) FROM runs") == taken
    assert (taken == LIMIT) is guarded, taken
    assert len(refused) == STARTS - taken
    for error in refused:
        assert (error.details["limit"], error.details["of"]) == (name, subject)
        assert error.retry_after is not None
        assert 1 <= error.retry_after <= 3600


async def test_limit__of_one_project_keeps_no_other_waiting(office: Office) -> None:
    """However many of its runs stand before theirs, and however urgent they are."""
    full, other = await office.project(), await office.project()
    await limit(office, "project", full, max_workers=1)
    for _ in range(200):
        await office.send(await office.session(full), priority=0)
    theirs = {await office.send(await office.session(other), priority=9) for _ in range(3)}
    host = await office.host()
    given = [run.run_id for _ in range(3) for run in await office.claim_all(host)]
    assert theirs < set(given)
    assert len(given) == 4


async def test_workers__of_both_limits_the_smaller_one_counts(office: Office) -> None:
    by, project = await user(office), await office.project()
    await limit(office, "project", project, max_workers=4)
    await limit(office, "user", by, max_workers=2)
    await sent(office, project, 6, by=by)
    await sent(office, project, 6)
    host = await office.host()
    given = [run for _ in range(4) for run in await office.claim_all(host, free=20)]
    assert len(given) == 4
    count = "SELECT count(*) FROM session_workers WHERE user_id = $1"
    assert await office.value(count, by) == 2


async def test_default__counts_where_there_is_no_own_limit(office: Office) -> None:
    async with office.database.unit() as unit:
        await quotas.set_default(unit, "user", Quota(max_workers=2))
    mine, theirs, project = await user(office), await user(office), await office.project()
    await limit(office, "user", theirs, max_workers=3)
    await sent(office, project, 5, by=mine)
    await sent(office, project, 5, by=theirs)
    await office.claim_all(await office.host(), free=20)
    await office.claim_all(await office.host(), free=20)
    rows = await office.fetch("SELECT user_id, count(*) FROM session_workers GROUP BY user_id")
    assert {row["user_id"]: row["count"] for row in rows} == {mine: 2, theirs: 3}


async def test_worker_of_a_session_that_has_one__is_no_more(office: Office) -> None:
    """At its limit a project goes on in the workers that it has."""
    project, host = await office.project(), await office.host()
    await limit(office, "project", project, max_workers=1)
    session = await office.session(project)
    berth = await office.running(session, host)
    await office.done(berth)
    await office.send(session, "more")
    (given,) = await office.claim_all(host)
    assert (given.worker.worker_id, given.fresh_worker) == (berth.grant.worker_id, False)


async def test_run_that_waits__is_told_and_seen_and_starts_when_a_worker_has_ended(
    office: Office,
) -> None:
    project, host = await office.project(), await office.host()
    await limit(office, "project", project, max_workers=1)
    first = await office.session(project)
    berth = await office.running(first, host)
    waiting = await office.send(await office.session(project))
    assert await office.kinds(waiting) == ["message.user", "run.queued", "run.warning"]
    payload = await office.value("SELECT payload FROM events WHERE kind = 'run.warning'")
    assert "waits_for_worker_limit" in payload
    assert "this project's limit is 1 workers" in payload
    async with office.database.reading() as connection:
        assert await quotas.waits_for(connection, waiting) == "project"
    assert await office.claim_all(host) == []
    await office.report(berth, berth.snapshot(), berth.finish(), berth.stopped(berth.head))
    async with office.database.reading() as connection:
        assert await quotas.waits_for(connection, waiting) is None
    (given,) = await office.claim_all(host)
    assert given.run_id == waiting


async def idle(office: Office, host: Host, berth: Berth, seconds: float) -> None:
    await office.done(berth)
    await office.heartbeat(host, berth, idle_seconds=seconds)


async def stops(office: Office) -> list[UUID]:
    rows = await office.fetch("SELECT worker_id FROM commands WHERE type = 'stop' ORDER BY id")
    return [row["worker_id"] for row in rows]


async def test_idle_worker__goes_early_for_a_run_that_waits(office: Office) -> None:
    """Those that are idle longest, as many as wait; never one that is kept warm."""
    project, host, rooms = await office.project(), await office.host(), Quotas(office.database)
    await limit(office, "project", project, max_workers=4)
    berths = [await office.running(await office.session(project), host) for _ in range(4)]
    warm, short, long, busy = berths
    await office.execute(
        "UPDATE sessions SET keep_warm = true WHERE id = $1", warm.grant.session_id
    )
    for berth, seconds in ((warm, 90.0), (short, 5.0), (long, 60.0)):
        await idle(office, host, berth, seconds)
    assert await rooms.make_room() == 0, "nobody waits"
    await office.send(await office.session(project))
    assert await rooms.make_room() == 1
    assert await rooms.make_room() == 0, "one is on its way already"
    assert await stops(office) == [long.grant.worker_id]
    await office.send(await office.session(project))
    await office.send(await office.session(project))
    assert await rooms.make_room() == 1
    assert set(await stops(office)) == {long.grant.worker_id, short.grant.worker_id}
    assert await office.state(busy.run_id) == "running"


async def test_idle_worker__stays_for_a_message_that_comes_meanwhile(office: Office) -> None:
    by, project = await user(office), await office.project()
    host, rooms = await office.host(), Quotas(office.database)
    await limit(office, "user", by, max_workers=1)
    session = await office.session(project)
    await send(office, session, by)
    berth = await office.claim(host)
    await office.report(berth, berth.started())
    await idle(office, host, berth, 30.0)
    await send(office, await office.session(project), by)

    async def meanwhile() -> None:
        disarm_all()
        await send(office, session, by)

    arm("make_room.candidates", meanwhile)
    assert await rooms.make_room() == 0
    assert await stops(office) == []


async def test_locks__of_starts_and_claims_together_never_deadlock(
    office: Office, replica: Office
) -> None:
    """Both take sessions first, then projects, then users, however they are mixed."""
    users = [await user(office) for _ in range(3)]
    projects = [await office.project() for _ in range(3)]
    for project in projects:
        await limit(office, "project", project, max_workers=30, max_queued=1000)
    for one in users:
        await limit(office, "user", one, max_workers=30, runs_per_hour=1000)
    hosts = [await office.host() for _ in range(4)]
    sessions = [(await office.session(projects[n % 3]), users[n % 3]) for n in range(90)]

    async def start(part: int) -> None:
        for session, by in sessions[part::6]:
            await send([office, replica][part % 2], session, by)

    async def claim(host: Host) -> list[ClaimedRun]:
        given: list[ClaimedRun] = []
        for _ in range(15):
            given += await replica.claim_all(host, free=20)
        return given

    async with asyncio.timeout(60):
        done = await asyncio.gather(
            *(start(part) for part in range(6)), *(claim(host) for host in hosts)
        )
    given = [run for one in done if one is not None for run in one]
    assert len({run.run_id for run in given}) == len(given)
    assert await office.value("SELECT count(*) FROM runs") == 90


async def test_hour__is_any_hour_and_what_is_older_is_forgotten(office: Office) -> None:
    project = await office.project()
    await limit(office, "project", project, runs_per_hour=2)
    await sent(office, project, 2)
    with pytest.raises(BerthError) as refused:
        await sent(office, project, 1)
    assert refused.value.code is Code.LIMIT_REACHED
    assert 3500 < (refused.value.retry_after or 0) <= 3600
    await office.execute("UPDATE run_starts SET at = at - interval '61 minutes'")
    await sent(office, project, 2)
    assert await office.value("SELECT count(*) FROM run_starts") == 2
