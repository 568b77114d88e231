"""Four claimers over 1,000 runs of 300 sessions: once per attempt, one live, every line drained."""

import asyncio
import random
from collections import Counter
from uuid import UUID

import pytest

from contracts.quotas import Quota
from control_plane.store import quotas
from tests.fixtures.office import Berth, Office

SESSIONS, RUNS, CLAIMERS = 300, 1000, 4


async def drain(office: Office, taken: Counter[tuple[UUID, int]], ends: list[UUID]) -> None:
    """Claims and finishes until nothing is left; every tenth attempt is interrupted instead."""
    host, berths = await office.host(), {}
    while len(ends) < RUNS:
        given = await office.claim_all(host, free=20)
        for run in given:
            taken[run.run_id, run.attempt] += 1
            berth = berths.get(run.worker.session_id)
            if berth is None:
                berth = Berth(run.worker, run.run_id, run.attempt)
                berths[run.worker.session_id] = berth
            berth.run_id, berth.attempt = run.run_id, run.attempt
        live = [berths[run.worker.session_id] for run in given]
        await asyncio.gather(*(settle(office, berth, ends) for berth in live))
        await asyncio.sleep(0)


async def settle(office: Office, berth: Berth, ends: list[UUID]) -> None:
    if berth.attempt == 1 and random.random() < 0.1:  # which tenth, not a secret
        await office.report(berth, berth.started(), berth.interrupted())
        return
    await office.report(berth, berth.started(), berth.snapshot(), berth.finish())
    ends.append(berth.run_id)


async def watch(office: Office, stop: asyncio.Event) -> int:
    """How often two live runs of one session were seen."""
    seen = 0
    while not stop.is_set():
        seen += len(
            await office.fetch(
                "SELECT session_id FROM runs WHERE state IN ('claimed', 'running', 'waiting')"
                " GROUP BY session_id HAVING count(*) > 1"
            )
        )
        await asyncio.sleep(0.05)
    return seen


async def test_claimers__every_run_once_per_attempt(office: Office, replica: Office) -> None:
    random.seed(7)
    project = await office.project()
    sessions = [await office.session(project) for _ in range(SESSIONS)]
    for index in range(RUNS):
        await office.send(sessions[index % SESSIONS])
    taken: Counter[tuple[UUID, int]] = Counter()
    ends: list[UUID] = []
    stop = asyncio.Event()
    watching = asyncio.create_task(watch(office, stop))
    async with asyncio.timeout(120):
        await asyncio.gather(
            *(drain([office, replica][n % 2], taken, ends) for n in range(CLAIMERS))
        )
    stop.set()
    assert await watching == 0
    assert set(taken.values()) == {1}
    assert len({run_id for run_id, _ in taken}) == RUNS
    assert await office.value("SELECT count(*) FROM runs WHERE state = 'succeeded'") == RUNS
    assert await office.value("SELECT count(*) FROM runs WHERE finished_at IS NULL") == 0


@pytest.mark.parametrize("room", ["of the host", "of the project"])
async def test_room_for_one__is_given_to_the_most_urgent(office: Office, room: str) -> None:
    """However long the others have been there, and though all of them are looked at together."""
    project, host = await office.project(), await office.host()
    if room == "of the project":
        async with office.database.unit() as unit:
            await quotas.set_own(unit, "project", project, Quota(max_workers=1))
    for _ in range(6):
        await office.send(await office.session(project), priority=9)
    urgent = await office.send(await office.session(project), priority=0)
    (given,) = await office.claim_all(host, free=1 if room == "of the host" else 10)
    assert given.run_id == urgent
