"""The sender against a control plane that loses answers, forgets, is away, or has moved on."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chassis.clock import SystemClock
from contracts.errors import Code, Problem
from contracts.events import RunLog
from contracts.spool import AnyEntry, EventReported
from executor.callbacks import Sender, SenderHooks
from executor.relay import Relay
from executor.segments import replace_file
from executor.spool import Spool
from tests.executor.outside import Outside
from tests.executor.test_spool import OWNER, event
from tests.fixtures.clock import ManualClock


@dataclass
class Heard:
    superseded: asyncio.Event = field(default_factory=asyncio.Event)
    outage: asyncio.Event = field(default_factory=asyncio.Event)
    lost: "asyncio.Queue[str]" = field(default_factory=asyncio.Queue)
    refused: list[tuple[int, str]] = field(default_factory=list)

    async def note_refused(self, entry: AnyEntry, code: str) -> None:
        self.refused.append((entry.seq, code))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.callbacks.pause", lambda _: 0.001)
    monkeypatch.setattr("executor.callbacks.GATHER_SECONDS", 0.0)
    monkeypatch.setattr("chassis.breaker.THRESHOLD", 1_000_000)


@pytest.fixture
async def spool(place: Path) -> AsyncGenerator[Spool]:
    spool = await Spool.open(place / "spool", OWNER, max_bytes=1 << 30)
    yield spool
    await spool.close()


@pytest.fixture
def heard() -> Heard:
    return Heard()


Start = Callable[..., Sender]


@pytest.fixture
async def start(spool: Spool, relay: Relay, heard: Heard) -> AsyncGenerator[Start]:
    started: list[Sender] = []

    def make(**known: Any) -> Sender:
        hooks = SenderHooks(
            superseded=heard.superseded.set,
            refused=heard.note_refused,
            outage=heard.outage.set,
            lost=heard.lost.put_nowait,
        )
        values = {"epoch": 1, "outage_grace": 900.0, "clock": SystemClock(), **known}
        sender = Sender(spool, relay, hooks, **values)
        sender.start()
        started.append(sender)
        return sender

    yield make
    for sender in started:
        await sender.stop()


async def filled(spool: Spool, count: int) -> None:
    await asyncio.gather(*(spool.append(event(str(n))) for n in range(count)))


async def drained(spool: Spool) -> None:
    await asyncio.wait_for(spool.drained(), 60)


def seqs(outside: Outside) -> list[int]:
    return [entry.seq for entry in outside.entries]


async def test_send__bounded_batches_in_order(spool: Spool, outside: Outside, start: Start) -> None:
    await filled(spool, 1200)
    start()
    await drained(spool)
    assert seqs(outside) == list(range(1, 1201))
    assert max(len(report.entries) for report in outside.reports) == 500


@pytest.mark.parametrize("fault", ["lost", 500, 502, 401, 429])
async def test_send__again_until_it_is_answered(
    spool: Spool, outside: Outside, start: Start, heard: Heard, fault: object
) -> None:
    await filled(spool, 3)
    outside.fail_next("callbacks", *[fault] * 4)
    start()
    await drained(spool)
    assert seqs(outside) == [1, 2, 3]
    assert outside.calls["callbacks"] >= 5
    assert not heard.superseded.is_set()


async def test_send__rewinds_to_the_expected_seq(
    spool: Spool, outside: Outside, start: Start
) -> None:
    await filled(spool, 5)
    start()
    await drained(spool)
    # it lost its commit: the answer was given, the entries are gone
    wrong = Problem(title="", status=409, code=Code.EXPECTED_SEQ, details={"seq": 6})
    outside.fail_next("callbacks", wrong)
    await filled(spool, 5)
    await drained(spool)
    assert seqs(outside) == list(range(1, 11))


async def test_send__what_was_acknowledged_cannot_be_asked_for_again(
    spool: Spool, outside: Outside, start: Start, heard: Heard
) -> None:
    await filled(spool, 5)
    start()
    await drained(spool)
    outside.last_seq = 2
    await filled(spool, 1)
    assert await asyncio.wait_for(heard.lost.get(), 30) == "gap"


async def test_send__stale_epoch_supersedes(
    spool: Spool, outside: Outside, start: Start, heard: Heard
) -> None:
    await filled(spool, 1)
    outside.stale = True
    start()
    await asyncio.wait_for(heard.superseded.wait(), 30)
    assert spool.pending == 1


async def test_send__an_idle_worker_learns_it_too(
    outside: Outside, start: Start, heard: Heard
) -> None:
    outside.stale = True
    start(probe_seconds=0.01)
    await asyncio.wait_for(heard.superseded.wait(), 30)


async def test_send__refused_entries_are_told_before_the_spool_is_drained(
    spool: Spool, outside: Outside, start: Start, heard: Heard
) -> None:
    outside.refuse = {"event": Code.STALE_ATTEMPT}
    await filled(spool, 2)
    start()
    await drained(spool)
    assert heard.refused == [(1, "stale_attempt"), (2, "stale_attempt")]


async def test_outage__told_once_after_the_grace_and_sending_goes_on(
    spool: Spool, outside: Outside, start: Start, heard: Heard
) -> None:
    outside.down = True
    await filled(spool, 1)
    start(clock=ManualClock(), outage_grace=0.02)
    await asyncio.wait_for(heard.outage.wait(), 30)
    outside.down = False
    await drained(spool)
    assert seqs(outside) == [1]


async def test_outage__a_refusal_is_contact(
    spool: Spool, outside: Outside, start: Start, heard: Heard
) -> None:
    outside.fail_next("callbacks", *[401] * 100)
    await filled(spool, 1)
    start(outage_grace=0.01)
    await drained(spool)
    assert not heard.outage.is_set()


async def test_send__one_event_that_cannot_be_taken_does_not_block_the_rest(
    spool: Spool, outside: Outside, start: Start
) -> None:
    taken = outside._callbacks

    def strict(body: bytes, path: str) -> Any:
        if b"poison" in body:
            return 413, b""
        return taken(body, path)

    outside._callbacks = strict  # type: ignore[method-assign]  # a stricter one
    await filled(spool, 20)
    await spool.append(event("poison"))
    await filled(spool, 20)
    start()
    await drained(spool)
    assert seqs(outside) == list(range(1, 42))
    left_out = outside.entries[20]
    assert isinstance(left_out, EventReported)
    assert msgspec.json.decode(left_out.event, type=RunLog).level == "error"


async def test_send__a_disk_that_refuses_is_tried_again(
    spool: Spool, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter([OSError(28, "No space left on device")] * 3)

    def full(*known: Any, **named: Any) -> None:
        for error in refusals:
            raise error
        replace_file(*known, **named)

    monkeypatch.setattr("executor.segments.replace_file", full)
    start()
    await filled(spool, 3)
    await drained(spool)
    assert spool.acked == 3
