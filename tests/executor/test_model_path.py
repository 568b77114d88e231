"""Whether a model answered, as the relay saw it: against agents that say nothing of it."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from contracts.reasons import Reason
from contracts.relay import RelayStreams, StreamCut
from contracts.runs import RunLimits
from contracts.spool import RunFinishedReported
from executor.agents import loopback
from executor.agents.listener import Loopback
from executor.services.runs.model_path import ModelPath
from executor.services.runs.outcome import Finish
from executor.services.worker import Worker
from tests.executor.modelled import WayOut, way_out
from tests.fixtures.clock import ManualClock
from tests.fixtures.object_store import StoreServer
from tests.fixtures.processes import met

LONG = "one two three four five six seven eight nine ten"
SLOW = {"text": "word " * 600, "delay": 0.2}
"""A model that takes its time: whatever is broken is so before its end."""
CUT = {"text": LONG, "die_after": 3}
BIG = "x" * 5000


@pytest.fixture
async def way(place: Path, object_store_server: StoreServer) -> AsyncGenerator[WayOut]:
    async with way_out(place, object_store_server) as way:
        yield way


def model(*replies: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"model": {"replies": list(replies), **options}}


def ended(finish: RunFinishedReported) -> tuple[str, Reason, bool]:
    return finish.state, finish.reason, finish.retryable


FINE = ("succeeded", Reason.COMPLETED, False)
IS_CUT = ("failed", Reason.MODEL_STREAM_CUT, True)


async def test_whole__is_the_agents_word(way: WayOut) -> None:
    finish = await way.run(model({"text": LONG}), {"text": "done"})
    assert ended(finish) == FINE
    assert LONG in "".join(event["text"] for event in way.outside.events("message.delta"))
    assert way.ended == ["complete"]


@pytest.mark.parametrize("wire_format", ["messages", "responses", "chat"])
async def test_cut__whatever_the_agent_says(way: WayOut, wire_format: str) -> None:
    finish = await way.run(model(CUT, format=wire_format, ignore_cut=True), {"text": "all done"})
    assert ended(finish) == IS_CUT
    assert "was cut by the upstream" in finish.detail
    assert finish.output == "all done"
    assert way.ended == ["cut on purpose"]


async def test_cut__of_which_the_agent_complains(way: WayOut) -> None:
    finish = await way.run(model(CUT))
    assert ended(finish) == IS_CUT
    assert "the agent said" in finish.detail


async def test_cut__that_the_agent_itself_made_good_is_none(way: WayOut) -> None:
    finish = await way.run(model({**CUT, "times": 1}, retries=1))
    assert ended(finish) == FINE
    assert way.ended == ["cut on purpose", "complete"]


async def test_cut__of_a_small_call_beside_its_work(way: WayOut) -> None:
    finish = await way.run(
        model({"text": "the work"}, say=BIG), model(CUT, say="A title?", ignore_cut=True)
    )
    assert ended(finish) == IS_CUT


async def test_cut__in_an_earlier_run_is_none_of_a_later_one(way: WayOut) -> None:
    assert ended(await way.run(model(CUT, ignore_cut=True))) == IS_CUT
    assert ended(await way.run(model({"text": "fine"}))) == FINE
    assert ended(await way.run({"text": "no model at all"})) == FINE


async def begun(way: WayOut, *steps: dict[str, Any]) -> asyncio.Task[RunFinishedReported]:
    running = asyncio.create_task(way.run(*steps))
    # the answer has begun, and gone all the way
    await way.outside.until(lambda: way.outside.events("message.delta"))
    return running


async def test_provider_killed_in_the_middle__is_a_cut(way: WayOut) -> None:
    running = await begun(way, model(SLOW, ignore_cut=True))
    way.model.process.kill()
    assert ended(await running) == IS_CUT


async def test_relay_killed_in_the_middle__is_a_cut(way: WayOut) -> None:
    running = await begun(way, model(SLOW, ignore_cut=True), {"text": "all done"})
    await way.restart_relay()
    finish = await running
    assert ended(finish) == IS_CUT
    assert "the relay was restarted" in finish.detail


async def test_listener_killed_in_the_middle__is_a_cut(way: WayOut, place: Path) -> None:
    running = await begun(way, model(SLOW, ignore_cut=True), {"text": "all done"})
    os.kill(listener_of(place), signal.SIGKILL)
    finish = await running
    assert ended(finish) == IS_CUT
    assert "the agent's way to the relay" in finish.detail


async def test_relay_killed__is_nothing_to_an_agent_that_asked_for_nothing(way: WayOut) -> None:
    running = asyncio.create_task(way.run({"text": "before"}, {"sleep": 1}, {"text": "after"}))
    await way.executor.text("before")
    await way.restart_relay()
    assert ended(await running) == FINE


@dataclass
class Told:
    """What a relay tells, one answer after the other; the last one again and again."""

    answers: list[RelayStreams]

    async def call_until_answered(self, _endpoint: object, _asked: object) -> RelayStreams:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_judged__only_when_nothing_is_open_any_more(place: Path) -> None:
    """The last answer may have come, and the agent ended, before the relay has noted it."""
    cut = StreamCut(
        number=1, upstream="models", path="/v1/messages", body_sha256="a", cut_by="upstream"
    )
    good = msgspec.structs.replace(cut, answered_since=True)
    told = Told([RelayStreams(boot="b", open=0, last=0, cuts=[])])
    listener = Loopback(place, 0, None)
    worker = SimpleNamespace(relay=told, clock=ManualClock(), loopback=listener)
    path = ModelPath(cast("Worker", worker))
    await path.begin()
    listener.taken += 1
    told.answers = [
        RelayStreams(boot="b", open=1, last=1, cuts=[cut]),
        RelayStreams(boot="b", open=0, last=2, cuts=[good]),
    ]
    finish = Finish(state="succeeded", reason=Reason.COMPLETED)
    assert await path.judged(finish) == finish


def listener_of(place: Path) -> int:
    wanted = f"{loopback.__file__}\0".encode(), str(place).encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if all(part in line for part in wanted):
                return int(entry.name)
    raise AssertionError("there is no listener")


REFUSED = [
    (400, Reason.MODEL_BAD_REQUEST, False),
    (401, Reason.MODEL_UNAUTHORIZED, False),
    (402, Reason.MODEL_UNAUTHORIZED, False),
    (403, Reason.MODEL_UNAUTHORIZED, False),
    (404, Reason.MODEL_NOT_FOUND, False),
    (413, Reason.MODEL_BAD_REQUEST, False),
    (429, Reason.MODEL_RATE_LIMITED, True),
    (500, Reason.MODEL_UNAVAILABLE, True),
    (529, Reason.MODEL_UNAVAILABLE, True),
]


@pytest.mark.parametrize(("status", "reason", "retryable"), REFUSED)
async def test_refused__the_status_is_the_reason(
    way: WayOut, status: int, reason: Reason, *, retryable: bool
) -> None:
    finish = await way.run(model({"status": status}))
    assert ended(finish) == ("failed", reason, retryable)
    assert f"was {status}" in finish.detail
    assert "the agent said" in finish.detail


async def test_refused__an_agent_that_says_nothing_of_it(way: WayOut) -> None:
    finish = await way.run(
        model({"text": "so far"}),
        model({"status": 429}, say=BIG, ignore_cut=True),
        {"text": "done"},
    )
    assert ended(finish) == ("failed", Reason.MODEL_RATE_LIMITED, True)


async def test_refused__that_was_made_good_is_none(way: WayOut) -> None:
    finish = await way.run(model({"status": 529, "times": 2, "text": "at last"}, retries=2))
    assert ended(finish) == FINE
    assert way.ended == ["refused", "refused", "complete"]


async def test_refused__a_small_call_beside_its_work(way: WayOut) -> None:
    finish = await way.run(
        model({"text": "the work"}, say=BIG),
        model({"status": 404}, say="A title?", ignore_cut=True),
        {"text": "done"},
    )
    assert ended(finish) == FINE


async def test_a_model_that_is_away__is_unavailable(way: WayOut) -> None:
    way.model.process.kill()
    await asyncio.to_thread(way.model.process.wait)
    finish = await way.run(model({"text": "never"}, ignore_cut=True), {"text": "done"})
    assert ended(finish) == ("failed", Reason.MODEL_UNAVAILABLE, True)


async def test_a_model_that_hangs__is_found_by_its_silence(way: WayOut) -> None:
    finish = await way.run(model({"hang": 60}), limits=RunLimits(silence_seconds=1))
    assert ended(finish) == ("failed", Reason.AGENT_SILENT, True)


async def test_a_cancel__is_no_matter_of_the_models(way: WayOut) -> None:
    spec = await way.executor.start(model(CUT, ignore_cut=True), {"hang": True})
    await way.outside.until(lambda: way.outside.events("message.delta"))
    # what was said is with the agent before the model has cut it
    await met(lambda: way.ended, "the answer is cut")
    await way.executor.cancel(spec)
    finish = await way.executor.finish()
    assert (finish.state, finish.reason) == ("canceled", Reason.CANCELED)
    assert way.ended == ["cut on purpose"]
