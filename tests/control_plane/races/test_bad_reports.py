"""A bad entry is refused and named: it never stops its batch, its run, or another session's."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from contracts.events import AskOption, UsageUpdate
from contracts.managers import WorkerChange
from contracts.snapshots import SnapshotKind
from contracts.spool import SnapshotCommitted
from tests.fixtures.office import Berth, Office


@pytest.fixture
async def berth(office: Office) -> Berth:
    return await office.running(await office.session(), await office.host())


async def refused(office: Office, berth: Berth, *entries: Any) -> list[str]:
    answer = await office.report(berth, *entries)
    assert answer.acknowledged == berth.seq
    return [one.code for one in answer.refused]


async def test_ask__with_the_id_of_another_sessions_request(office: Office, berth: Berth) -> None:
    victims = berth.asked()
    await office.report(berth, victims)
    thief = await office.running(await office.session(), await office.host())
    forged = msgspec.structs.replace(thief.asked("forged"), ask_id=victims.ask_id)
    assert await refused(office, thief, forged) == ["conflict"]
    assert await office.state(thief.run_id) == "running", "nobody could answer it"
    await office.report(thief, thief.snapshot(), thief.finish())
    (row,) = await office.fetch("SELECT run_id, title, state::text FROM human_loop_requests")
    assert tuple(row) == (berth.run_id, "shell", "pending")


@pytest.mark.parametrize("together", [True, False])
async def test_ask__twice_with_one_id(office: Office, berth: Berth, *, together: bool) -> None:
    first = berth.asked()
    again = msgspec.structs.replace(berth.asked("other"), ask_id=first.ask_id)
    if together:
        assert await refused(office, berth, first, again) == ["conflict"]
    else:
        await office.report(berth, first)
        assert await refused(office, berth, again) == ["conflict"]
    assert await office.value("SELECT title FROM human_loop_requests") == "shell"


@pytest.mark.parametrize("together", [True, False])
async def test_snapshot__twice_with_one_id(office: Office, berth: Berth, *, together: bool) -> None:
    first = berth.snapshot(SnapshotKind.CHECKPOINT)
    again = msgspec.structs.replace(
        berth.snapshot(SnapshotKind.CHECKPOINT), snapshot=first.snapshot
    )
    if together:
        assert await refused(office, berth, first, again) == ["conflict"]
    else:
        await office.report(berth, first)
        assert await refused(office, berth, again) == ["conflict"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda key: {"manifest_key": f"{key}/../../x"}, "forbidden"),
        (lambda key: {"manifest_key": f"{key}\x00"}, "forbidden"),
        (lambda _: {"files": 2**70}, "validation_failed"),
        (lambda _: {"bytes": -1}, "validation_failed"),
    ],
)
async def test_snapshot__that_cannot_be(
    office: Office, berth: Berth, change: Callable[[str], dict[str, Any]], code: str
) -> None:
    entry = berth.snapshot()
    draft = msgspec.structs.replace(entry.snapshot, **change(entry.snapshot.manifest_key))
    entry = msgspec.structs.replace(entry, snapshot=draft)
    assert await refused(office, berth, entry) == [code]
    assert await office.value("SELECT head_snapshot_id FROM sessions") is None


async def test_snapshot__of_an_attempt_beyond_any(office: Office, berth: Berth) -> None:
    entry: SnapshotCommitted = msgspec.structs.replace(berth.snapshot(), attempt=2**40)
    assert await refused(office, berth, entry) == ["validation_failed"]


async def test_finish__with_usage_that_no_column_holds(office: Office, berth: Berth) -> None:
    usage = UsageUpdate(source="metered", model="a\x00b", input_tokens=2**70, output_tokens=-1)
    assert await refused(office, berth, berth.snapshot(), berth.finish(usage=usage)) == []
    assert await office.state(berth.run_id) == "succeeded"
    (row,) = await office.fetch("SELECT source, model, input_tokens, output_tokens FROM usage")
    assert tuple(row) == ("reported", "a\ufffdb", 2**63 - 1, 0)


async def test_usage__an_agent_does_not_meter(office: Office, berth: Berth) -> None:
    told = berth.event(kind="usage.update", source="metered", input_tokens=1)
    assert await refused(office, berth, told) == ["validation_failed"]


async def test_ask__with_nul_can_be_answered(office: Office, berth: Berth) -> None:
    options = [AskOption(id="y\x00", kind="allow_once")]
    entry = msgspec.structs.replace(berth.asked(), input_hash="\x00", options=options)
    assert await refused(office, berth, entry) == []
    assert await office.allow(entry.ask_id) is False


async def test_event__with_bytes_that_are_no_text(office: Office, berth: Berth) -> None:
    raw = b'{"kind":"message.delta","message_id":"m","text":"x","unknown":"\xff"}'
    entry = msgspec.structs.replace(berth.text("x"), event=msgspec.Raw(raw))
    assert await refused(office, berth, entry) == ["validation_failed"]


async def test_worker_failed__with_nul_in_its_words(office: Office) -> None:
    host, session = await office.host(), await office.session()
    run_id = await office.send(session)
    berth = await office.claim(host)
    await office.execute("UPDATE runs SET losses = 100")
    change = WorkerChange(
        incarnation=host.incarnation, epoch=1, change="failed", reason="start", detail="a\x00b"
    )
    await office.workers.change(host.id, berth.grant.worker_id, change)
    assert await office.state(run_id) == "failed"


async def test_finish__names_a_checkpoint(office: Office, berth: Berth) -> None:
    """Taken with the agent alive: no tree that was acknowledged."""
    checkpoint = berth.snapshot(SnapshotKind.CHECKPOINT)
    await office.report(berth, checkpoint, berth.finish(snapshot_id=checkpoint.snapshot.id))
    assert (await office.run(berth.run_id))["unsaved"]
    assert await office.value("SELECT pinned FROM session_workers")


async def test_stop__names_a_checkpoint(office: Office, berth: Berth) -> None:
    await office.report(berth, berth.finish(snapshot_id=None, unsaved=True))
    checkpoint = berth.snapshot(SnapshotKind.CHECKPOINT)
    stopped = berth.stopped(checkpoint.snapshot.id)
    assert await refused(office, berth, checkpoint, stopped) == ["head_moved"]
    assert await office.value("SELECT released_at FROM session_workers") is None


async def test_stop__unsaved_without_a_snapshot(office: Office, berth: Berth) -> None:
    """Nothing was written since the head, it says, and said before that something was."""
    await office.report(berth, berth.snapshot(), berth.finish(snapshot_id=None, unsaved=True))
    await office.execute("UPDATE session_workers SET pinned = true")
    assert await refused(office, berth, berth.stopped(None)) == ["head_moved"]
    assert await office.value("SELECT released_at FROM session_workers") is None
