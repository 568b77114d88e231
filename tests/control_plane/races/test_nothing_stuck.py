"""No state of a run or a worker in which nobody is responsible for what comes next."""

from typing import Any
from uuid import uuid4

import pytest

from chassis.errors import NotFound, Stale
from contracts.errors import Code
from contracts.managers import AgentOffer, AskStop, Claim, Register, WorkerChange
from contracts.spool import TakeGrant
from control_plane.domain.session_state import SessionState
from control_plane.services import rescue
from tests.fixtures.office import AGENT, Office


async def test_claim__of_a_host_that_fell_silent_while_it_waits_gets_nothing(
    office: Office,
) -> None:
    """Its long poll may outlive it: a run given to nobody would cost a lease, and count."""
    host, session = await office.host(), await office.session()
    await office.send(session)
    ask = Claim(incarnation=host.incarnation, claim_id=uuid4(), free=1, agents=[AGENT])
    await office.execute("UPDATE managers SET last_seen_at = now() - interval '1 hour'")
    assert await office.claims.claim_now(host.id, ask, waited=3600.0) == []
    await office.heartbeat(host)
    assert len(await office.claims.claim_now(host.id, ask, waited=3600.0)) == 1


async def test_claim__of_a_host_that_asks_just_now_is_a_sign_of_life(office: Office) -> None:
    host, session = await office.host(), await office.session()
    await office.send(session)
    await office.execute("UPDATE managers SET last_seen_at = now() - interval '1 hour'")
    assert len(await office.claim_all(host)) == 1


async def test_waiting__its_executor_does_not_have_it(office: Office) -> None:
    """A person's answer would go nowhere: it parks, and the answer finds it."""
    host, session = await office.host(), await office.session()
    berth = await office.running(session, host)
    ask = berth.asked()
    await office.report(berth, ask)
    await office.execute("UPDATE commands SET done_at = now() - interval '1 hour'")
    await office.heartbeat(host, berth, idle_seconds=3600)
    run = await office.run(berth.run_id)
    assert (run["now"], run["worker_id"], run["attempt"]) == ("waiting", None, 2)
    await office.allow(ask.ask_id)
    assert await office.state(berth.run_id) == "queued"


@pytest.mark.parametrize("missing", [None, "gone: install it again"])
async def test_queued__its_workers_manager_has_the_agent_no_longer(
    office: Office, missing: str | None
) -> None:
    """It cannot claim it, and the others may not: the worker is let go."""
    host, session = await office.host(), await office.session()
    berth = await office.running(session, host)
    await office.done(berth)
    run_id = await office.send(session)
    offers = [] if missing is None else [AgentOffer(agent=AGENT, missing=missing)]
    again = Register(
        manager_id=host.id, name="host", backend="process", max_workers=9, agents=offers
    )
    incarnation = (await office.managers.register(again)).incarnation
    worker_id = berth.grant.worker_id
    ask = AskStop(incarnation=incarnation, epoch=berth.grant.epoch)
    assert (await office.workers.ask_stop(host.id, worker_id, ask)).granted
    await office.report(berth, berth.stopped(berth.head))
    assert (await office.claim(await office.host())).run_id == run_id


async def test_queued__its_workers_manager_has_the_agent(office: Office) -> None:
    host, session = await office.host(), await office.session()
    berth = await office.running(session, host)
    await office.done(berth)
    await office.send(session)
    ask = AskStop(incarnation=host.incarnation, epoch=berth.grant.epoch)
    assert not (await office.workers.ask_stop(host.id, berth.grant.worker_id, ask)).granted


@pytest.mark.parametrize("epoch", [2, 2**70])
async def test_take__for_another_epoch(office: Office, epoch: int) -> None:
    berth = await office.running(await office.session(), await office.host())
    ask = berth.asked()
    await office.report(berth, ask)
    await office.allow(ask.ask_id)
    take = TakeGrant(epoch=epoch, attempt=1, ask_id=ask.ask_id)
    worker = berth.grant
    with pytest.raises(Stale) as raised:
        await office.human_loop.take(worker.worker_id, worker.session_id, ask.ask_id, take)
    assert raised.value.code is Code.STALE_EPOCH
    await office.take(berth, ask.ask_id, ask.ask_id)


async def test_remove__what_was_removed(office: Office) -> None:
    """Nobody would ever be told of it."""
    host, session = await office.host(), await office.session()
    berth = await office.running(session, host)
    await office.done(berth)
    change = WorkerChange(incarnation=host.incarnation, epoch=1, change="removed")
    await office.workers.change(host.id, berth.grant.worker_id, change)
    with pytest.raises(NotFound):
        await office.workers.remove(session, forced=True, by=uuid4())


async def test_queued__whose_agent_nobody_offers_is_blocked(office: Office) -> None:
    session, host = await office.session(), await office.host()
    run_id = await office.send(session)
    await office.execute("UPDATE runs SET available_at = now() - interval '1 day'")
    assert await office.rescue.block_unoffered() == 0, "a manager offers it"
    await office.execute('UPDATE managers SET agents = \'{"scripted": "not installed"}\'')
    await office.execute("UPDATE managers SET last_seen_at = now() - interval '1 day'")
    assert await office.rescue.block_unoffered() == 0, "no manager is there: it waits for one"
    await office.execute("UPDATE managers SET last_seen_at = now()")
    assert await office.rescue.block_unoffered() == 1
    run = await office.run(run_id)
    assert (run["now"], run["reason"]) == ("blocked", "agent_missing")
    assert host.incarnation == 1


async def test_rescue__one_line_that_fails_keeps_no_other_waiting(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = await office.host()
    berths = [await office.running(await office.session(), host) for _ in range(3)]
    for berth in berths:
        await office.expire(berth)
    bad = berths[0].grant.session_id
    lose = rescue.lose_worker

    def broken(state: SessionState, *rest: Any) -> None:
        if state.id == bad:
            raise ValueError("broken")
        lose(state, *rest)

    monkeypatch.setattr(rescue, "lose_worker", broken)
    with pytest.raises(ExceptionGroup):
        await office.rescue.reclaim()
    states = [await office.state(berth.run_id) for berth in berths]
    assert states == ["running", "queued", "queued"]


async def test_options__of_a_newer_version_are_read(office: Office) -> None:
    session, host = await office.session(), await office.host()
    await office.send(session)
    await office.execute(
        """UPDATE run_payloads SET options = '{"newer": 1, "limits": {"newer": 2}}'"""
    )
    assert (await office.claim(host)).attempt == 1
