"""A start's steps stand in the session's log, once, in the transaction of what came of it."""

from typing import Any

import msgspec

from contracts.managers import StartStep, WorkerChange
from contracts.workers import WorkerLimits
from tests.fixtures.berth import Berth
from tests.fixtures.office import Host, Office

STEPS = [
    StartStep(step="create", duration_ms=120),
    StartStep(step="relay", duration_ms=4),
    StartStep(step="start", duration_ms=80),
    StartStep(step="boot", duration_ms=200),
]


async def change(office: Office, host: Host, berth: Berth, **fields: Any) -> str:
    told = WorkerChange(incarnation=host.incarnation, epoch=berth.grant.epoch, **fields)
    return (await office.workers.change(host.id, berth.grant.worker_id, told)).verdict


async def steps(office: Office) -> list[tuple[str, str, int, str]]:
    rows = await office.fetch(
        "SELECT payload, epoch FROM events WHERE kind = 'worker.step' ORDER BY seq"
    )
    assert {row["epoch"] for row in rows} <= {1}
    told = [msgspec.json.decode(row["payload"]) for row in rows]
    return [
        (one["step"], one.get("outcome", "done"), one["duration_ms"], one.get("reason", ""))
        for one in told
    ]


async def claimed(office: Office, host: Host) -> Berth:
    await office.send(await office.session())
    return await office.claim(host)


async def test_ready__tells_its_steps_once(office: Office) -> None:
    host = await office.host()
    berth = await claimed(office, host)
    for _ in range(2):
        assert await change(office, host, berth, change="ready", steps=STEPS) == "current"
    whole = [(one.step, "done", one.duration_ms, "") for one in STEPS]
    assert await steps(office) == whole
    assert await office.value("SELECT state::text FROM session_workers") == "ready"
    restart = [StartStep(step="start", duration_ms=90), StartStep(step="boot", duration_ms=210)]
    await change(office, host, berth, change="ready", steps=restart)
    again = [(one.step, "done", one.duration_ms, "") for one in restart]
    assert await steps(office) == whole + again, "its container was started again"


async def test_failed__names_the_step_and_why(office: Office) -> None:
    host = await office.host()
    berth = await claimed(office, host)
    broken = [STEPS[0], StartStep(step="start", duration_ms=9, reason="no_space\x00")]
    for _ in range(2):
        await change(office, host, berth, change="failed", reason="no_space", steps=broken)
    told = await steps(office)
    assert told == [
        ("create", "done", 120, ""),
        ("start", "failed", 9, "no_space\N{REPLACEMENT CHARACTER}"),
    ]
    kinds = [row["kind"] for row in await office.fetch("SELECT kind FROM events ORDER BY seq")]
    assert kinds.index("worker.step") < kinds.index("worker.failed")
    assert await office.state(berth.run_id) == "queued"


async def test_ready__of_a_superseded_worker_tells_nothing(office: Office) -> None:
    host = await office.host()
    berth = await claimed(office, host)
    await office.rescue.reclaim()
    await office.expire(berth)
    await office.rescue.reclaim()
    assert await change(office, host, berth, change="ready", steps=STEPS) == "superseded"
    assert await steps(office) == []


async def test_register__gives_each_worker_the_limits_it_was_made_with(office: Office) -> None:
    host, session = await office.host(), await office.session()
    await office.execute("""UPDATE sessions SET worker_limits = '{"cpus": 2, "pids": 64}'""")
    await office.send(session)
    berth = await office.claim(host)
    assert berth.grant.limits == WorkerLimits(cpus=2.0, pids=64)
    await office.execute("""UPDATE sessions SET worker_limits = '{"cpus": 8}'""")
    again = await office.registered(host.id)
    assert [one.limits for one in again.workers] == [berth.grant.limits]
