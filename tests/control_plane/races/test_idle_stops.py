"""An idle stop and a new message at the same moment, two hundred times (faults, case C10)."""

import asyncio
import random
from uuid import UUID

import pytest

from chassis.failpoints import arm, disarm_all
from contracts.managers import AskStop
from tests.control_plane.races.idle_workers import idle
from tests.fixtures.barriers import Barrier
from tests.fixtures.berth import Berth
from tests.fixtures.guards import STREAM_LOCK, perhaps_without
from tests.fixtures.office import Host, Office

ROUNDS = 200
FIRST = {"message": "enqueue.locked", "stop": "stop.locked", "nobody": None}
"""Who has the session when the other one comes."""


class Race:
    def __init__(self, office: Office, host: Host, seed: int, *, guarded: bool) -> None:
        self.office = office
        self.guarded = guarded
        self.host = host
        self.dice = random.Random(seed)

    async def meet(self, berth: Berth, first: str) -> tuple[UUID, bool]:
        """The message's run, and whether the stop was granted."""
        ask = AskStop(incarnation=self.host.incarnation, epoch=berth.grant.epoch)
        works = {
            "message": lambda: self.office.send(berth.grant.session_id),
            "stop": lambda: self.office.workers.ask_stop(self.host.id, berth.grant.worker_id, ask),
        }
        order = [first] if first in works else self.dice.sample(list(works), 1)
        order += [name for name in works if name not in order]
        barrier, place = Barrier(), FIRST[first]
        if place is not None:
            arm(place, barrier.action)
        tasks = {order[0]: asyncio.create_task(works[order[0]]())}
        if place is not None:
            await barrier.reached()
            disarm_all()
        tasks[order[1]] = asyncio.create_task(works[order[1]]())
        if not self.guarded:
            await tasks[order[1]]  # nothing makes it wait
        barrier.release()
        await asyncio.gather(*tasks.values())
        return tasks["message"].result(), tasks["stop"].result().granted

    async def served(self, berth: Berth, run_id: UUID, *, granted: bool) -> Berth:
        """By the worker that stays, or by the next one when this one has stopped."""
        office = self.office
        if granted:
            assert await office.claim_all(self.host) == [], "its worker stops first"
            await office.report(berth, berth.stopped(berth.head))
        again = await office.claim(self.host)
        assert again.run_id == run_id
        assert again.grant.epoch == berth.grant.epoch + granted
        starts = await office.fetch(
            "SELECT worker_id FROM commands WHERE type = 'start' AND payload LIKE $1",
            f"%{run_id}%",
        )
        assert [row["worker_id"] for row in starts] == [again.grant.worker_id], "one start"
        await office.report(again, again.started())
        await office.done(again)
        return again


@pytest.mark.parametrize("guarded", [True, False])
async def test_idle_stop_against_a_message__it_is_served_and_started_once(
    office: Office, *, guarded: bool
) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    host = await office.host()
    race = Race(office, host, seed, guarded=guarded)
    berth = await idle(office, host, await office.project())
    outcomes = {True: 0, False: 0}
    with perhaps_without(STREAM_LOCK, guarded=guarded):
        for number in range(ROUNDS if guarded else 1):
            # unguarded, the stop passes a message that is already being written
            first = race.dice.choice(list(FIRST)) if guarded else "message"
            run_id, granted = await race.meet(berth, first)
            if not guarded:
                assert granted
                return
            told = f"seed {seed}, round {number}, {first} first"
            assert first == "nobody" or granted is (first == "stop"), told
            outcomes[granted] += 1
            berth = await race.served(berth, run_id, granted=granted)
    assert min(outcomes.values()) > ROUNDS / 10, outcomes
    assert await office.value("SELECT count(*) FROM runs WHERE state <> 'succeeded'") == 0
