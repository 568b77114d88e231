"""Random lives of a few sessions; after every step the invariants hold, at the end all is done."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Literal
from uuid import UUID, uuid4

import asyncpg
import pytest

from chassis.errors import BerthError
from contracts.human_loop import Reply
from tests.control_plane.model.simulated import Fleet
from tests.fixtures.office import Office

STEPS = 120
TERMINAL = {"succeeded", "failed", "blocked", "canceled"}

TWO_HEADS = """SELECT session_id FROM runs
WHERE state IN ('queued', 'claimed', 'running', 'waiting')
GROUP BY session_id HAVING count(*) > 1"""
HEADLESS = """SELECT session_id FROM runs behind WHERE state = 'pending' AND NOT EXISTS (
SELECT FROM runs head WHERE head.session_id = behind.session_id
AND head.state IN ('queued', 'claimed', 'running', 'waiting'))"""
GAPS = """SELECT stream_id FROM events GROUP BY stream_id
HAVING count(*) <> max(seq) OR min(seq) <> 1"""
STREAMS = """SELECT s.id FROM streams s WHERE kind = 'session'
AND last_seq <> (SELECT count(*) FROM events e WHERE e.stream_id = s.id)"""
ENDED_TWICE = """SELECT run_id FROM events WHERE kind IN ('run.finished', 'run.closed')
GROUP BY run_id, kind HAVING count(*) > 1"""
AFTER_THE_END = """SELECT e.run_id FROM events e JOIN events c ON c.run_id = e.run_id
AND c.kind = 'run.closed' WHERE e.seq > c.seq"""
LIVE_WITHOUT_WORKER = """SELECT r.id FROM runs r LEFT JOIN session_workers w ON w.id = r.worker_id
AND w.released_at IS NULL AND w.superseded_at IS NULL
WHERE r.state IN ('claimed', 'running') AND w.id IS NULL"""
WAITS_FOR_NOTHING = """SELECT r.id FROM runs r WHERE r.state = 'waiting' AND NOT EXISTS (
SELECT FROM human_loop_requests h WHERE h.run_id = r.id AND h.state IN ('pending', 'answered'))"""
PARKED_AND_ANSWERED = """SELECT r.id FROM runs r WHERE r.state = 'waiting' AND r.worker_id IS NULL
AND NOT EXISTS (SELECT FROM human_loop_requests h WHERE h.run_id = r.id AND h.state = 'pending')"""
CLAIMED_TWICE = """SELECT run_id FROM events WHERE kind = 'run.claimed'
GROUP BY run_id, attempt HAVING count(*) > 1"""
SPOKE_LATE = """SELECT e.run_id FROM events e JOIN events later ON later.run_id = e.run_id
AND later.kind = 'run.claimed' AND later.seq < e.seq AND later.attempt > e.attempt"""
OPEN_AFTER_END = """SELECT h.id FROM human_loop_requests h JOIN runs r ON r.id = h.run_id
WHERE r.finished_at IS NOT NULL AND h.state = 'pending' AND h.answer_to = 'run'"""

INVARIANTS = {
    name: value
    for name, value in globals().items()
    if name.isupper() and isinstance(value, str) and value.startswith("SELECT")
}


async def check(office: Office, step: str) -> None:
    for name, query in INVARIANTS.items():
        rows = await office.fetch(query)
        assert not rows, f"{name} after {step}: {rows}"


class Lives:
    def __init__(
        self, office: Office, fleet: Fleet, sessions: list[UUID], dice: random.Random
    ) -> None:
        self.office, self.fleet, self.sessions, self.dice = office, fleet, sessions, dice
        self.sent: list[UUID] = []

    async def send(self) -> None:
        self.sent.append(await self.office.send(self.dice.choice(self.sessions)))

    async def cancel(self) -> None:
        if self.sent:
            await self._allowed(self.office.runs.cancel(self.dice.choice(self.sent)))

    async def reply(self) -> None:
        rows = await self.office.fetch("SELECT id FROM human_loop_requests ORDER BY id")
        if rows:
            request = self.dice.choice(rows)["id"]
            decision: Literal["allow", "reject"] = self.dice.choice(["allow", "reject"])
            reply = self.office.human_loop.reply(request, Reply(decision=decision), by=uuid4())
            await self._allowed(reply)

    async def remove(self) -> None:
        session = self.dice.choice(self.sessions)
        await self._allowed(self.office.workers.remove(session, forced=True, by=uuid4()))

    async def stop(self) -> None:
        await self.office.workers.ask_stop_session(self.dice.choice(self.sessions))

    async def park(self) -> None:
        await self.office.execute("UPDATE runs SET waiting_since = now() - interval '1 day'"
                                  " WHERE state = 'waiting'")  # fmt: skip
        await self.office.rescue.park()

    async def hurry(self) -> None:
        """Backoffs are over."""
        await self.office.execute("UPDATE runs SET available_at = now() WHERE state = 'queued'")

    async def overdue(self) -> None:
        await self.office.execute("UPDATE runs SET cancel_deadline = now() - interval '1 s'"
                                  " WHERE cancel_deadline IS NOT NULL")  # fmt: skip
        await self.office.rescue.end_overdue_cancels()

    @staticmethod
    async def _allowed(call: Awaitable[object]) -> None:
        """A refusal with a code is an answer; anything else is not."""
        try:
            await call
        except BerthError as error:
            assert error.code.value != "internal"

    def choices(self) -> list[Callable[[], Awaitable[None]]]:
        fleet = self.fleet
        often = [self.send, fleet.claim, fleet.obey, fleet.work, fleet.work, self.hurry]
        seldom = [self.cancel, self.reply, self.remove, self.stop, self.park, fleet.lose]
        return [*often * 3, *seldom, self.reply, self.park, self.park, self.overdue]

    async def drain(self) -> None:
        """Faults are over: everything that was accepted comes to its end."""
        left: list[asyncpg.Record] = []
        for _ in range(1000):
            left = await self.office.fetch("SELECT id FROM runs WHERE finished_at IS NULL")
            if not left:
                return
            steps = (self.hurry, self.fleet.claim, self.fleet.obey, self.reply, self.fleet.work)
            for step in steps:
                await step()
            for executor in self.fleet.executors.values():
                if executor.gone:
                    await self.office.expire(executor.berth)
            await self.office.rescue.reclaim()
            await self.overdue()
        raise AssertionError(f"never ended: {left}")


@pytest.mark.parametrize("seed", range(12))
async def test_model__invariants_hold_and_everything_ends(office: Office, seed: int) -> None:
    dice = random.Random(seed)
    hosts = [await office.host(), await office.host()]
    sessions = [await office.session() for _ in range(3)]
    lives = Lives(office, Fleet(office, hosts, dice), sessions, dice)
    await office.rescue.reclaim()
    for number in range(STEPS):
        step = dice.choice(lives.choices())
        await step()
        await check(office, f"seed {seed} step {number} {step.__name__}")
    async with asyncio.timeout(60):
        await lives.drain()
    await check(office, f"seed {seed} drained")
    rows = await office.fetch("SELECT DISTINCT state::text FROM runs")
    assert {row["state"] for row in rows} <= TERMINAL
