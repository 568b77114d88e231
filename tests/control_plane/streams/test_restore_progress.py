"""How far a restore is stands in the log of the run that waits for it."""

import msgspec

from contracts.spool import EventReported
from tests.fixtures.berth import Berth
from tests.fixtures.office import Office


def told(berth: Berth, phase: str = "restore") -> EventReported:
    progress = {"kind": "workspace.progress", "phase": phase, "files": 1, "bytes": 2}
    raw = msgspec.Raw(msgspec.json.encode({**progress, "bytes_per_second": 1}))
    return msgspec.structs.replace(berth.step(), event=raw)


async def test_progress__is_of_the_run_that_waits(office: Office) -> None:
    await office.send(await office.session())
    berth = await office.claim(await office.host())
    answer = await office.report(berth, told(berth), berth.started(), told(berth))
    assert answer.refused == []
    rows = await office.fetch(
        "SELECT run_id, attempt FROM events WHERE kind = 'workspace.progress' ORDER BY seq"
    )
    assert [tuple(row) for row in rows] == [(berth.run_id, 1), (None, None)]


async def test_progress__of_a_save_that_is_no_runs_is_not_of_the_next_one(office: Office) -> None:
    """It was begun before that run was claimed, and is of what others wrote."""
    await office.send(await office.session())
    berth = await office.claim(await office.host())
    answer = await office.report(berth, told(berth, "save"))
    assert answer.refused == []
    rows = await office.fetch("SELECT run_id FROM events WHERE kind = 'workspace.progress'")
    assert [tuple(row) for row in rows] == [(None,)]
