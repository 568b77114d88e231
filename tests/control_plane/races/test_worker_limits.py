"""Workers that met a limit of their session: told by its name, tried again where that helps."""

import pytest

from contracts.managers import WorkerChange
from contracts.reasons import ADVICE, Reason
from control_plane.domain import retries
from control_plane.services import workers
from tests.fixtures.berth import Berth
from tests.fixtures.guards import perhaps_without, replaced
from tests.fixtures.office import Host, Office

RETRY_NOW = "UPDATE runs SET available_at = now() WHERE state = 'queued'"


async def fail(office: Office, host: Host, berth: Berth, reason: str) -> None:
    told = WorkerChange(
        incarnation=host.incarnation,
        epoch=berth.grant.epoch,
        change="failed",
        reason=reason,
        detail="its words",
    )
    await office.workers.change(host.id, berth.grant.worker_id, told)


@pytest.mark.parametrize("guarded", [True, False])
async def test_out_of_memory__is_tried_again_and_ends_by_its_own_name(
    office: Office, *, guarded: bool
) -> None:
    host = await office.host()
    run_id = await office.send(await office.session())
    unnamed = replaced(workers, "NAMED", {})
    with perhaps_without(unnamed, guarded=guarded):
        for _ in range(office.settings.max_losses):
            if await office.state(run_id) == "failed":
                break
            await office.execute(RETRY_NOW)
            await fail(office, host, await office.claim(host), Reason.OUT_OF_MEMORY)
    row = await office.run(run_id)
    assert row["now"] == "failed"
    assert (row["reason"] == Reason.OUT_OF_MEMORY) == guarded, row["reason"]
    assert row["failures"] >= 1 or not guarded


async def test_interrupted_for_want_of_memory__counts_and_is_retried(office: Office) -> None:
    berth = await office.running(await office.session(), await office.host())
    await office.report(berth, berth.interrupted(Reason.OUT_OF_MEMORY))
    row = await office.run(berth.run_id)
    assert (row["now"], row["failures"]) == ("queued", 1)


@pytest.mark.parametrize("guarded", [True, False])
async def test_disk_too_small__is_blocked_at_once_and_says_what_to_do(
    office: Office, *, guarded: bool
) -> None:
    host = await office.host()
    run_id = await office.send(await office.session())
    with perhaps_without(replaced(retries, "NEEDS_SOMEBODY", frozenset()), guarded=guarded):
        await fail(office, host, await office.claim(host), Reason.DISK_FULL)
    row = await office.run(run_id)
    assert (row["now"] == "blocked") == guarded
    if guarded:
        assert row["reason"] == Reason.DISK_FULL
        assert "its words" in row["detail"]
        assert "disk_mib" in ADVICE[Reason.DISK_FULL].remedy


async def test_ready__says_what_holds_its_disk_and_keeps_it(office: Office) -> None:
    host = await office.host()
    await office.send(await office.session())
    berth = await office.claim(host)
    for disk in ("image", None):
        told = WorkerChange(
            incarnation=host.incarnation, epoch=berth.grant.epoch, change="ready", disk=disk
        )
        await office.workers.change(host.id, berth.grant.worker_id, told)
        assert await office.value("SELECT disk FROM session_workers") == "image"
