"""A ticket is good once, in its minute, for its manager, while its worker is its session's."""

import asyncio
from types import MappingProxyType
from uuid import UUID, uuid4

import pytest

from chassis.errors import BerthError, Stale
from chassis.failpoints import arm, disarm_all
from contracts.errors import Code
from contracts.managers import WorkerChange
from contracts.tickets import AskTicket, Redeemed, RedeemTicket
from control_plane.services.sensitive import FileCaller
from control_plane.store import tickets as store
from tests.fixtures.barriers import Barrier
from tests.fixtures.berth import Berth
from tests.fixtures.guards import Removal, perhaps_without
from tests.fixtures.office import Host, Office

both_ways = pytest.mark.parametrize("guarded", [True, False])


async def ready(office: Office, host: Host) -> Berth:
    berth = await office.running(await office.session(), host)
    change = WorkerChange(incarnation=host.incarnation, epoch=1, change="ready")
    await office.workers.change(host.id, berth.grant.worker_id, change)
    return berth


async def issued(office: Office, session_id: UUID) -> str:
    ask = AskTicket(session_id=session_id, audience="workspace.read")
    by = FileCaller(user_id=uuid4(), project_id=uuid4(), opens_sensitive=False)
    return (await office.tickets.issue(ask, by=by)).ticket


async def redeem(office: Office, host: Host, ticket: str) -> Redeemed:
    ask = RedeemTicket(incarnation=host.incarnation, ticket=ticket)
    return await office.tickets.redeem(host.id, ask)


async def refused(office: Office, host: Host, ticket: str) -> Code:
    with pytest.raises(BerthError) as raised:
        await redeem(office, host, ticket)
    return raised.value.code


def without(guard: str) -> Removal:
    """Of the redemption's conditions."""

    def remove(patch: pytest.MonkeyPatch) -> None:
        assert guard in store.QUERIES["redeem"]
        bare = "true" if guard.startswith("w.") else ""
        queries = {**store.QUERIES, "redeem": store.QUERIES["redeem"].replace(guard, bare)}
        patch.setattr(store, "QUERIES", MappingProxyType(queries))

    return remove


@both_ways
async def test_redeem__twice_at_once(office: Office, *, guarded: bool) -> None:
    host = await office.host()
    berth = await ready(office, host)
    ticket = await issued(office, berth.grant.session_id)
    with perhaps_without(without(" AND t.redeemed_at IS NULL"), guarded=guarded):
        barrier = Barrier()
        arm("ticket.redeemed", barrier.action)
        both = [asyncio.create_task(redeem(office, host, ticket)) for _ in range(2)]
        await barrier.reached()
        disarm_all()
        barrier.release()
        outcomes = await asyncio.gather(*both, return_exceptions=True)
    good = [one for one in outcomes if isinstance(one, Redeemed)]
    assert (len(good) == 1) is guarded
    assert good[0] == Redeemed(
        worker_id=berth.grant.worker_id, epoch=1, audience="workspace.read", withheld=[".env"]
    )


@both_ways
async def test_redeem__after_its_worker_was_superseded(office: Office, *, guarded: bool) -> None:
    host = await office.host()
    berth = await ready(office, host)
    ticket = await issued(office, berth.grant.session_id)
    await office.rescue.reclaim()
    await office.expire(berth)
    barrier = Barrier()
    arm("ticket.redeeming", barrier.action)
    redeeming = asyncio.create_task(redeem(office, host, ticket))
    await barrier.reached()
    disarm_all()
    assert await office.rescue.reclaim() == 1
    guard = "w.released_at IS NULL AND w.superseded_at IS NULL"
    with perhaps_without(without(guard), guarded=guarded):
        barrier.release()
        (outcome,) = await asyncio.gather(redeeming, return_exceptions=True)
    assert isinstance(outcome, BerthError) is guarded


@both_ways
async def test_redeem__by_another_manager(office: Office, *, guarded: bool) -> None:
    host, other = await office.host(), await office.host()
    berth = await ready(office, host)
    ticket = await issued(office, berth.grant.session_id)
    with perhaps_without(without(" AND t.manager_id = $2"), guarded=guarded):
        (outcome,) = await asyncio.gather(redeem(office, other, ticket), return_exceptions=True)
    assert isinstance(outcome, BerthError) is guarded


async def test_redeem__after_its_minute(office: Office) -> None:
    host = await office.host()
    berth = await ready(office, host)
    ticket = await issued(office, berth.grant.session_id)
    await office.execute("UPDATE tickets SET expires_at = now()")
    assert await refused(office, host, ticket) is Code.TICKET_INVALID
    assert await office.tickets.expire() == 1
    assert await office.value("SELECT count(*) FROM tickets") == 0


async def test_redeem__by_a_superseded_incarnation(office: Office) -> None:
    host = await office.host()
    berth = await ready(office, host)
    ticket = await issued(office, berth.grant.session_id)
    now = await office.host(host.id)
    assert await refused(office, host, ticket) is Code.STALE_INCARNATION
    assert (await redeem(office, now, ticket)).worker_id == berth.grant.worker_id


async def test_issue__only_its_hash_is_kept_and_it_lasts_a_minute(office: Office) -> None:
    berth = await ready(office, await office.host())
    ticket = await issued(office, berth.grant.session_id)
    (row,) = await office.fetch(
        "SELECT t.*, extract(epoch FROM expires_at - created_at)::int AS seconds FROM tickets t"
    )
    assert len(ticket) >= 43
    assert ticket not in str(dict(row))
    assert row["seconds"] == 60
    audited = await office.fetch("SELECT action, target FROM audit")
    assert [tuple(one) for one in audited] == [("ticket.issue", str(berth.grant.worker_id))]


async def test_issue__needs_a_running_worker_whose_host_can_be_reached(office: Office) -> None:
    host, session = await office.host(), await office.session()
    with pytest.raises(Stale) as raised:
        await issued(office, session)
    assert raised.value.code is Code.WORKER_NOT_RUNNING
    await office.send(session)
    berth = await office.claim(host)
    with pytest.raises(Stale) as raised:
        await issued(office, session)
    assert raised.value.code is Code.WORKER_NOT_RUNNING, "it starts"
    change = WorkerChange(incarnation=host.incarnation, epoch=1, change="ready")
    await office.workers.change(host.id, berth.grant.worker_id, change)
    await issued(office, session)
    await office.execute("UPDATE managers SET url = ''")
    with pytest.raises(Stale) as raised:
        await issued(office, session)
    assert raised.value.code is Code.WORKER_UNREACHABLE
