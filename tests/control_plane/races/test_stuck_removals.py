"""A worker that is over and that its host cannot remove: an alert in its session's log, once."""

from typing import Any

import msgspec

from contracts.managers import WorkerChange
from tests.control_plane.races.idle_workers import idle, stopped
from tests.fixtures.berth import Berth
from tests.fixtures.office import Host, Office


async def stuck(office: Office, host: Host, berth: Berth) -> str:
    change = WorkerChange(
        incarnation=host.incarnation,
        epoch=berth.grant.epoch,
        change="stuck",
        reason="backend_failed",
        detail="removing berth-x-1: the driver\x00 failed",
    )
    return (await office.workers.change(host.id, berth.grant.worker_id, change)).verdict


async def alerts(office: Office) -> list[Any]:
    query = "SELECT payload FROM events WHERE kind = 'alert.raised' AND stream_id = session_id"
    return [msgspec.json.decode(row["payload"]) for row in await office.fetch(query)]


async def test_stuck__is_an_alert_once_and_its_reason(office: Office) -> None:
    host = await office.host()
    berth = await stopped(office, host, await office.project())
    for _ in range(2):  # its answer was lost, or its manager was started again
        assert await stuck(office, host, berth) == "released"
    (alert,) = await alerts(office)
    assert alert["code"] == "removal_stuck"
    assert str(berth.grant.worker_id) in alert["detail"]
    assert (
        "backend_failed removing berth-x-1: the driver\N{REPLACEMENT CHARACTER}" in alert["detail"]
    )
    assert await office.value("SELECT reason FROM session_workers") == "removal_stuck"


async def test_stuck__of_one_that_is_current_tells_nothing(office: Office) -> None:
    """It was told of another end than the control plane knows: its verdicts decide."""
    host = await office.host()
    berth = await idle(office, host, await office.project())
    assert await stuck(office, host, berth) == "current"
    assert await alerts(office) == []
