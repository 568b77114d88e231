"""What administrators order reaches a manager that runs: capacity, a drain; and one that starts."""

import signal

from contracts.managers import Orders
from tests.executor_manager.managers import Desk, Manager, Start, until

QUICK = {"claim_wait_seconds": 1, "idle_after_when_full_seconds": 600}


def free(desk: Desk) -> int:
    """As the newest claim has it."""
    return desk.claims[-1].free if desk.claims else -1


async def test_capacity__follows_the_heartbeats_answer(start: Start, desk: Desk) -> None:
    await start(max_workers=3, **QUICK)
    first = desk.offer()
    await desk.ready(first)
    await until(lambda: free(desk) == 2, "its own setting")
    desk.orders = Orders(max_workers=1)
    await until(lambda: free(desk) == 0, "fewer than it holds and could")
    second = desk.offer()
    beats = len(desk.beats)
    await until(lambda: len(desk.beats) > beats + 5, "a while")
    assert second.worker_id not in desk.live
    assert desk.stops == [], "who is there stays"
    desk.orders = Orders(max_workers=2)
    await desk.ready(second)


async def test_capacity__is_never_above_its_own_setting(start: Start, desk: Desk) -> None:
    desk.orders = Orders(max_workers=50)
    manager = await start(max_workers=2, **QUICK)
    await until(lambda: desk.claims, "asked")
    assert desk.registrations[0].max_workers == 2
    assert free(desk) == 2
    desk.orders = Orders()
    await until(lambda: manager.log.count('"orders"') == 2, "told")
    assert free(desk) == 2


async def test_drain__empties_it_and_is_called_off(start: Start, desk: Desk) -> None:
    await start(max_workers=3, **QUICK)
    workers = [desk.offer(), desk.offer()]
    for worker in workers:
        await desk.ready(worker)
    desk.orders = Orders(draining=True)
    for worker in workers:
        await until(lambda worker=worker: desk.changed(worker, "stopped"), "stopped")
    assert {ask.drain for _, ask in desk.stops} == {True}
    await until(lambda: free(desk) == 0, "no room")
    third = desk.offer()
    beats = len(desk.beats)
    await until(lambda: len(desk.beats) > beats + 5, "a while")
    assert third.worker_id not in desk.live
    desk.orders = Orders()
    await desk.ready(third)


async def test_drain__asks_again_while_it_is_refused_until_it_is_called_off(
    start: Start, desk: Desk
) -> None:
    """As for a live run, which is interrupted first."""
    desk.grant_stops = False
    manager = await start(max_workers=1, **QUICK)
    worker = desk.offer()
    await desk.ready(worker)
    desk.orders = Orders(draining=True)
    await until(lambda: len(desk.stops) >= 3, "asked again")
    desk.orders = Orders()
    await until(lambda: manager.log.count('"orders"') == 2, "told")
    assert free(desk) == 0, "full, and not more"
    asked, beats = len(desk.stops), len(desk.beats)
    await until(lambda: len(desk.beats) > beats + 15, "a while")
    assert len(desk.stops) <= asked + 1
    assert desk.changed(worker, "stopped") is None


async def test_restarted__it_follows_what_was_ordered_before(start: Start, desk: Desk) -> None:
    desk.orders = Orders(draining=True)
    first: Manager = await start(max_workers=2, **QUICK)
    await until(lambda: desk.claims, "asked")
    await first.kill(signal.SIGTERM)
    desk.claims.clear()
    await start(max_workers=2, **QUICK)
    await until(lambda: desk.incarnation == 2 and desk.claims, "asked")
    assert {claim.free for claim in desk.claims} == {0}
