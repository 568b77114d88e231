"""Rollbacks against a message, a save and another rollback, each forced; red without its guard."""

import asyncio
from typing import Any

import httpx
import pytest

from chassis.errors import BerthError
from chassis.failpoints import arm, disarm_all
from control_plane.services import rollbacks
from tests.control_plane.history.desk import Desk, Turn
from tests.fixtures.barriers import Barrier
from tests.fixtures.guards import STREAM_LOCK, perhaps_without, replaced

WITHOUT_COMPARING = replaced(rollbacks, "_require_same", lambda *_: None)


async def two_turns(desk: Desk) -> tuple[Any, Turn, Turn]:
    """Its worker is stopped."""
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    second = await desk.turn(session, "two", {b"a": b"2"})
    await desk.stop(second.berth)
    return session, first, second


def asked(desk: Desk, session: Any, turn: Turn) -> asyncio.Task[httpx.Response]:
    body = {"snapshot_id": str(turn.snapshot_id)}
    return asyncio.create_task(desk.http.post(f"/api/v1/sessions/{session}/rollback", json=body))


@pytest.mark.parametrize("guarded", [True, False])
async def test_a_message_that_was_served_meanwhile__is_not_cut_off(
    desk: Desk, *, guarded: bool
) -> None:
    session, first, _ = await two_turns(desk)
    barrier = Barrier()
    arm("rollback.released", barrier.action)
    with perhaps_without(WITHOUT_COMPARING, guarded=guarded):
        going = asked(desk, session, first)
        await barrier.reached()
        disarm_all()
        third = await desk.turn(session, "three", {b"a": b"3"})
        await desk.stop(third.berth)
        barrier.release()
        answer = await going
    texts = await desk.texts(session)
    if guarded:
        assert (answer.status_code, answer.json()["code"]) == (409, "head_moved")
        assert texts[-1] == "said: three"
    else:
        assert (answer.status_code, texts) == (200, ["one", "said: one"])


@pytest.mark.parametrize("guarded", [True, False])
async def test_a_message_that_comes_at_the_same_moment__stands_behind_it(
    desk: Desk, *, guarded: bool
) -> None:
    session, first, _ = await two_turns(desk)
    barrier = Barrier()
    arm("rollback.locked", barrier.action)
    with perhaps_without(STREAM_LOCK, guarded=guarded):
        going = asked(desk, session, first)
        await barrier.reached()
        disarm_all()
        message = asyncio.create_task(desk.office.enqueue(session, "three"))
        if not guarded:
            await asyncio.wait_for(message, 25)
            barrier.release()
            refused = await going
            assert refused.status_code == 409, "it was passed by"
            return
        barrier.release()
        assert (await going).status_code == 200
        queued = await message
    branch = await desk.office.value("SELECT max(begins_at) FROM branches")
    assert queued.seq > branch
    berth = await desk.office.claim(desk.host)
    assert berth.head == first.snapshot_id
    await desk.office.report(berth, berth.started())
    assert await desk.texts(session) == ["one", "said: one", "three"]


@pytest.mark.parametrize("guarded", [True, False])
async def test_two_rollbacks__the_second_is_told_of_the_first(desk: Desk, *, guarded: bool) -> None:
    session, first, second = await two_turns(desk)
    barrier = Barrier()
    arm("rollback.released", barrier.action)
    with perhaps_without(WITHOUT_COMPARING, guarded=guarded):
        slow = asked(desk, session, first)
        await barrier.reached()
        disarm_all()
        assert (await asked(desk, session, second)).status_code == 200
        barrier.release()
        answer = await slow
    head = (await desk.get(f"sessions/{session}"))["head_snapshot_id"]
    if guarded:
        assert (answer.status_code, answer.json()["code"]) == (409, "head_moved")
        assert head == str(second.snapshot_id)
    else:
        assert (answer.status_code, head) == (200, str(first.snapshot_id))


async def test_a_save_of_the_former_worker__moves_nothing(desk: Desk) -> None:
    """It was on its way when the worker's lease was lost and the session was rolled back."""
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    second = await desk.turn(session, "two", {b"a": b"2"})
    late = await desk.save(second.berth, {b"a": b"late"})
    await desk.office.expire(second.berth)
    await desk.office.rescue.reclaim()
    assert (await asked(desk, session, first)).status_code == 200
    with pytest.raises(BerthError) as refused:
        await desk.office.report(second.berth, late)
    assert refused.value.code == "stale_epoch"
    head = (await desk.get(f"sessions/{session}"))["head_snapshot_id"]
    assert head == str(first.snapshot_id)


@pytest.mark.parametrize("guarded", [True, False])
async def test_a_worker_that_stays__would_save_over_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, *, guarded: bool
) -> None:
    """It is waited for until it is gone; and what it saves on the former head is refused."""
    session = await desk.session()
    first = await desk.turn(session, "one", {b"a": b"1"})
    second = await desk.turn(session, "two", {b"a": b"2"})
    if guarded:
        barrier = Barrier()
        arm("rollback.waits", barrier.action)
        going = asked(desk, session, first)
        await barrier.reached()
        disarm_all()
        barrier.release()
        await desk.stop(second.berth)
        assert (await going).status_code == 200
        with pytest.raises(BerthError) as refused:
            await desk.office.report(second.berth, await desk.save(second.berth, {b"a": b"x"}))
        assert refused.value.code == "stale_epoch"
        return
    look = rollbacks._look

    async def unreleased(*arguments: Any, **named: Any) -> Any:
        seen = await look(*arguments, **named)
        return rollbacks._Seen(seen.standing, stopping=False)

    monkeypatch.setattr(rollbacks, "_look", unreleased)
    with perhaps_without(WITHOUT_COMPARING, guarded=False):
        assert (await asked(desk, session, first)).status_code == 200
    late = await desk.save(second.berth, {b"a": b"over it"})
    answer = await desk.office.report(second.berth, late)
    assert [one.code for one in answer.refused] == ["head_moved"], "the second guard"
