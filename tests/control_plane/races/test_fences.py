"""What a superseded worker or attempt says changes nothing; what was answered is answered again."""

import asyncio
import dataclasses
import json
from uuid import uuid4

import msgspec
import pytest

from chassis.errors import BerthError, Stale
from chassis.failpoints import arm, disarm_all
from contracts.errors import Code
from contracts.human_loop import RequestState
from contracts.reasons import Reason
from control_plane.domain import asks, reports
from control_plane.domain.session_state import SessionState, WorkerRow
from control_plane.services import claims, rescue
from control_plane.services import reports as report_service
from tests.fixtures.barriers import Barrier
from tests.fixtures.guards import STREAM_LOCK, both, perhaps_without, query, replaced
from tests.fixtures.office import Berth, Host, Office

both_ways = pytest.mark.parametrize("guarded", [True, False])


def code_of(error: object) -> Code | None:
    return error.code if isinstance(error, BerthError) else None


@both_ways
async def test_report__stale_batch_arrives_during_takeover(
    office: Office, *, guarded: bool
) -> None:
    session, hosts = await office.session(), [await office.host(), await office.host()]
    old = await office.running(session, hosts[0])
    await office.expire(old)
    barrier = Barrier()
    arm("report.begun", barrier.action)
    late = asyncio.create_task(office.report(old, old.step(), old.snapshot(), old.finish()))
    await barrier.reached()
    disarm_all()
    assert await office.rescue.reclaim() == 1
    new = await retried(office, hosts[1])

    def anybody(state: SessionState, _worker_id: object) -> WorkerRow:
        assert state.worker is not None
        return dataclasses.replace(state.worker, epoch=old.grant.epoch, last_source_seq=1)

    with perhaps_without(replaced(report_service, "speaker", anybody), guarded=guarded):
        barrier.release()
        (outcome,) = await asyncio.gather(late, return_exceptions=True)
    assert (code_of(outcome) is Code.STALE_EPOCH) is guarded
    snapshots = await office.value("SELECT count(*) FROM snapshots")
    assert (snapshots == 0) is guarded
    assert await office.state(new.run_id) == "claimed"


async def retried(office: Office, host: Host) -> Berth:
    """The head once its backoff is over."""
    await office.execute("UPDATE runs SET available_at = now() WHERE state = 'queued'")
    return await office.claim(host)


@both_ways
async def test_claim__answer_lost(office: Office, *, guarded: bool) -> None:
    session, host, claim_id = await office.session(), await office.host(), uuid4()
    await office.send(session)
    first = await office.claim_all(host, claim_id=claim_id)

    async def nothing(*_: object) -> list[object]:
        return []

    with perhaps_without(replaced(claims.Claims, "_given", nothing), guarded=guarded):
        again = await office.claim_all(host, claim_id=claim_id)
    same = [r.run_id for r in again] == [r.run_id for r in first]
    assert same is guarded
    assert await office.value("SELECT count(*) FROM session_workers") == 1


everything = replaced(report_service, "news", lambda report, _worker: list(report.entries))
no_gap = replaced(report_service, "gap_in", lambda _entries, _last: None)


@both_ways
async def test_report__answer_lost(office: Office, *, guarded: bool) -> None:
    session, host = await office.session(), await office.host()
    berth = await office.running(session, host)
    batch = [berth.step(), berth.text("once"), berth.snapshot(), berth.finish()]
    first = await office.report(berth, *batch)
    before = await office.value("SELECT last_seq FROM streams WHERE id = $1", session)
    with perhaps_without(everything, guarded=guarded), perhaps_without(no_gap, guarded=guarded):
        again = await office.report(berth, *batch)
    after = await office.value("SELECT last_seq FROM streams WHERE id = $1", session)
    assert (again == first and after == before) is guarded
    assert (await office.kinds(berth.run_id)).count("run.finished") == 1


@both_ways
async def test_commit__answer_lost(office: Office, *, guarded: bool) -> None:
    session, host = await office.session(), await office.host()
    berth = await office.running(session, host)
    saved = berth.snapshot()
    await office.report(berth, saved)
    with perhaps_without(everything, guarded=guarded), perhaps_without(no_gap, guarded=guarded):
        again = await office.report(berth, saved)
    assert (again.refused == []) is guarded
    head = await office.value("SELECT head_snapshot_id FROM sessions WHERE id = $1", session)
    assert head == saved.snapshot.id


@both_ways
async def test_report__finish_before_its_last_events(office: Office, *, guarded: bool) -> None:
    session, host = await office.session(), await office.host()
    berth = await office.running(session, host)
    last_words, finish = berth.text("last words"), berth.finish(snapshot_id=None)
    with perhaps_without(no_gap, guarded=guarded):
        (outcome,) = await asyncio.gather(office.report(berth, finish), return_exceptions=True)
    told = isinstance(outcome, Stale) and outcome.details == {"seq": last_words.seq}
    assert (told and code_of(outcome) is Code.EXPECTED_SEQ) is guarded
    assert (await office.state(berth.run_id) == "running") is guarded
    if guarded:
        await office.report(berth, last_words, finish)
        kinds = await office.kinds(berth.run_id)
        assert kinds.index("message.delta") < kinds.index("run.finished")


@both_ways
async def test_report__old_attempt_before_the_next_claim(office: Office, *, guarded: bool) -> None:
    session, host = await office.session(), await office.host()
    berth = await office.running(session, host)
    await office.report(berth, berth.interrupted())
    assert await office.state(berth.run_id) == "queued"

    def any_attempt(fold: reports.Fold, *_: object) -> object:
        return fold.state.head

    with perhaps_without(replaced(reports, "live_run", any_attempt), guarded=guarded):
        late = await office.report(berth, berth.text("late"), berth.finish(snapshot_id=None))
    assert ([r.code for r in late.refused] == ["stale_attempt"] * 2) is guarded
    assert (await office.state(berth.run_id) == "queued") is guarded


@both_ways
async def test_report__after_reclaim_before_the_next_claim(
    office: Office, *, guarded: bool
) -> None:
    session, host = await office.session(), await office.host()
    berth = await office.running(session, host)
    (before,) = await office.fetch("SELECT * FROM session_workers")
    await office.expire(berth)
    assert await office.rescue.reclaim() == 1

    def as_before(*_: object) -> WorkerRow:
        names = {field.name for field in dataclasses.fields(WorkerRow)} & set(before.keys())
        fields = {name: before[name] for name in names}
        return WorkerRow(**fields, stopping=False, lease_expired=False)

    def any_attempt(fold: reports.Fold, *_: object) -> object:
        return fold.state.head

    no_fences = both(
        replaced(report_service, "speaker", as_before), replaced(reports, "live_run", any_attempt)
    )
    with perhaps_without(no_fences, guarded=guarded):
        late = office.report(berth, berth.finish(snapshot_id=None))
        (outcome,) = await asyncio.gather(late, return_exceptions=True)
    assert (code_of(outcome) is Code.STALE_EPOCH) is guarded
    assert (await office.state(berth.run_id) == "queued") is guarded
    run = await office.run(berth.run_id)
    assert (run["attempt"], run["failures"]) == (2, 1)


@both_ways
async def test_heartbeat__revives_an_expired_lease_nobody_took(
    office: Office, *, guarded: bool
) -> None:
    session, host = await office.session(), await office.host()
    berth = await office.running(session, host)
    await office.expire(berth)
    barrier = Barrier()
    arm("reclaim.candidates", barrier.action)
    reclaiming = asyncio.create_task(office.rescue.reclaim())
    await barrier.reached()
    assert await office.heartbeat(host, berth) == ["current"]
    stays_expired = query("workers", "lease_until < clock_timestamp()", "true")
    with perhaps_without(stays_expired, guarded=guarded):
        barrier.release()
        taken = await reclaiming
    assert (taken == 0) is guarded
    assert (await office.state(berth.run_id) == "running") is guarded


@both_ways
async def test_reclaim__waits_a_lease_after_a_gap(office: Office, *, guarded: bool) -> None:
    session, host = await office.session(), await office.host()
    berth = await office.running(session, host)
    assert await office.rescue.reclaim() == 0
    await office.expire(berth)
    await office.execute("UPDATE loop_ticks SET ticked_at = now() - interval '1 hour'")

    async def always(*_: object, **__: object) -> bool:
        return True

    with perhaps_without(replaced(rescue.workers, "tick", always), guarded=guarded):
        taken = await office.rescue.reclaim()
    assert (taken == 0) is guarded
    if guarded:
        assert await office.heartbeat(host, berth) == ["current"]
        await office.execute("UPDATE loop_ticks SET resume_at = now()")
        assert await office.rescue.reclaim() == 0


@both_ways
async def test_reply__parked_request_while_reclaim_parks_it(
    office: Office, *, guarded: bool
) -> None:
    session, host = await office.session(), await office.host()
    berth = await office.running(session, host)
    ask = berth.asked()
    await office.report(berth, ask)
    await office.expire(berth)
    with perhaps_without(STREAM_LOCK, guarded=guarded):
        barrier = Barrier()
        arm("reply.locked", barrier.action)
        replying = asyncio.create_task(office.allow(ask.ask_id))
        await barrier.reached()
        disarm_all()
        taken = await office.rescue.reclaim()
        assert (taken == 0) is guarded, "reclaim passes over a stream that somebody holds"
        barrier.release()
        (outcome,) = await asyncio.gather(replying, return_exceptions=True)
    assert (outcome is False) is guarded
    if guarded:
        assert await office.rescue.reclaim() == 1
        assert await office.state(berth.run_id) == "queued", "answered: it goes on"


async def test_reply__to_a_parked_run_requeues_it_and_serves_the_identical_ask(
    office: Office,
) -> None:
    session, hosts = await office.session(), [await office.host(), await office.host()]
    berth = await office.running(session, hosts[0])
    ask = berth.asked()
    await office.report(berth, ask)
    await office.expire(berth)
    await office.rescue.reclaim()
    run = await office.run(berth.run_id)
    assert (run["now"], run["worker_id"], run["attempt"]) == ("waiting", None, 2)
    assert await office.claim_all(hosts[1]) == [], "parked: nobody claims it"
    assert await office.allow(ask.ask_id) is False
    assert await office.allow(ask.ask_id) is True, "answered once"
    again = await office.claim(hosts[1])
    started, same = again.started(), again.asked()
    await office.report(again, started, same)
    granted = await office.take(again, ask.ask_id, same.ask_id)
    assert granted.option_id == "yes"
    assert await office.state(berth.run_id) == "running"


@both_ways
async def test_grant__taken_then_crash_is_never_used_again(
    office: Office, *, guarded: bool
) -> None:
    session, hosts = await office.session(), [await office.host(), await office.host()]
    berth = await office.running(session, hosts[0])
    ask = berth.asked()
    await office.report(berth, ask)
    await office.allow(ask.ask_id)
    first = await office.take(berth, ask.ask_id, ask.ask_id)
    assert await office.take(berth, ask.ask_id, ask.ask_id) == first, "a lost answer, asked again"
    await office.expire(berth)
    await office.rescue.reclaim()
    again = await retried(office, hosts[1])
    started, same = again.started(), again.asked()
    carried = asks.OPEN | {RequestState.DELIVERED}
    with perhaps_without(replaced(asks, "OPEN", carried), guarded=guarded):
        await office.report(again, started, same)
    pending = await office.fetch(
        "SELECT id FROM human_loop_requests WHERE state = 'pending' AND id = $1", same.ask_id
    )
    assert bool(pending) is guarded
    if guarded:
        assert "run.warning" in await office.kinds(berth.run_id)
        with pytest.raises(Stale) as refused:
            await office.take(again, ask.ask_id, ask.ask_id)
        assert refused.value.code is Code.GRANT_TAKEN


async def test_finish__retryable_goes_back_with_the_attempt_raised(office: Office) -> None:
    session, host = await office.session(), await office.host()
    berth = await office.running(session, host)
    for attempt in (1, 2):
        assert berth.attempt == attempt
        await office.report(
            berth, berth.finish("failed", Reason.AGENT_CRASHED, retryable=True, snapshot_id=None)
        )
        run = await office.run(berth.run_id)
        assert (run["now"], run["attempt"], run["failures"]) == ("queued", attempt + 1, attempt)
        berth = await retried(office, host)
    await office.report(berth, berth.finish("failed", Reason.AGENT_CRASHED, retryable=True))
    run = await office.run(berth.run_id)
    assert (run["now"], run["reason"]) == ("failed", "agent_crashed")


async def test_heartbeat__a_run_that_its_executor_does_not_have_is_released(
    office: Office,
) -> None:
    session, host = await office.session(), await office.host()
    await office.send(session)
    berth = await office.claim(host)
    await office.heartbeat(host, berth, idle_seconds=3600)
    assert await office.state(berth.run_id) == "claimed", "its start command was not taken yet"
    await office.execute("UPDATE commands SET done_at = now()")
    await office.heartbeat(host, berth, idle_seconds=3600)
    assert await office.state(berth.run_id) == "claimed", "it was taken just now"
    await office.execute("UPDATE commands SET done_at = now() - interval '1 hour'")
    await office.heartbeat(host, berth)
    assert await office.state(berth.run_id) == "claimed", "it does not say that it is idle"
    await office.heartbeat(host, berth, idle_seconds=3600)
    run = await office.run(berth.run_id)
    assert (run["now"], run["attempt"]) == ("queued", 2)


async def test_task__is_told_that_its_run_waits(office: Office) -> None:
    session, host = await office.session(), await office.host()
    berth = await office.running(session, host)
    task = await office.task(session)
    await office.execute("UPDATE runs SET task_id = $1 WHERE id = $2", task, berth.run_id)
    ask = berth.asked()
    await office.report(berth, ask)
    await office.allow(ask.ask_id)
    await office.take(berth, ask.ask_id, ask.ask_id)
    told = await office.fetch("SELECT payload FROM outbox WHERE type = 'task' ORDER BY id")
    states = [json.loads(row["payload"])["run_state"] for row in told]
    assert states == ["waiting", "running"]


async def test_report__nul_in_what_an_agent_said_is_stored(office: Office) -> None:
    session, host = await office.session(), await office.host()
    berth = await office.running(session, host)
    nul = "a\x00b"
    asked = msgspec.structs.replace(berth.asked(), title=nul, tool=nul, input={nul: nul})
    said = berth.text(nul)
    finish = berth.finish("failed", Reason.AGENT_ERROR, detail=nul, output=nul, snapshot_id=None)
    answer = await office.report(berth, asked, said, finish)
    assert answer.refused == []
    run = await office.run(berth.run_id)
    assert (run["now"], run["output"]) == ("failed", "a\N{REPLACEMENT CHARACTER}b")
