"""A cut answer never looks whole, whoever cut it, and is booked once, as estimated."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.control_plane.models.caller import PATHS, Worker, until
from tests.control_plane.models.spoilt import PART, PARTS, SpoiltProvider
from tests.fixtures.scripted_model import ScriptedModel, script

SPOKEN = ["messages", "responses", "chat"]
LONG = " ".join(f"word{number}" for number in range(40))

CUTS: dict[str, dict[str, Any]] = {
    "broken": {"die_after": 8},
    "ended well": {"die_after": 8, "quiet": True},
    "told as an error": {"fail_after": 8},
}


@pytest.mark.parametrize(
    ("spoken", "cut"),
    [
        (one, cut)
        for one in SPOKEN
        for cut in CUTS
        if (one, cut) != ("responses", "told as an error")
    ],
)
async def test_cut_by_the_provider(
    worker: Worker, model: ScriptedModel, spoken: str, cut: str
) -> None:
    reply = {"text": LONG, "usage": [100, 900, 7], **CUTS[cut]}
    got = b""
    with pytest.raises(httpx.RemoteProtocolError):  # noqa: PT012 # it breaks while it is read
        async with worker.streamed(PATHS[spoken], script(reply)) as answer:
            async for part in answer.aiter_raw():
                got += part
    assert b"word3" in got
    (call,) = await worker.booked("cut")
    assert (call["source"], call["status"]) == ("estimated", 200)
    assert 0 < call["output_tokens"] < 100
    assert call["input_tokens"] == 100 if spoken == "messages" else call["input_tokens"] > 20
    assert [one["complete"] for one in model.ledger() if one["id"] == call["provider_id"]] == [
        False
    ]


async def test_failed_response__is_whole_and_refused(worker: Worker, model: ScriptedModel) -> None:
    """This format has a last event for it."""
    reply = {"text": LONG, "fail_after": 8}
    answer = await worker.ask("/v1/responses", script(reply), stream=True)
    assert "response.failed" in answer.text
    (call,) = await worker.calls()
    assert (call["state"], call["status"], call["source"]) == ("refused", 200, "estimated")
    assert call["output_tokens"] > 5
    assert [one["complete"] for one in model.ledger() if one["id"] == call["provider_id"]] == [
        False
    ]


@pytest.mark.parametrize("spoken", SPOKEN)
async def test_cut_by_the_caller(worker: Worker, model: ScriptedModel, spoken: str) -> None:
    reply = {"text": f"{LONG} " * 20, "delay": 0.2, "usage": [100, 900, 7]}
    async with worker.streamed(PATHS[spoken], script(reply)) as answer:
        async for part in answer.aiter_raw():
            if b"word1" in part:
                break
    (call,) = await worker.booked("cut")
    assert call["source"] == "estimated"

    async def left() -> bool:
        return not model.open()

    await until(left, "the provider's connection is closed")
    assert [one["complete"] for one in model.ledger() if one["id"] == call["provider_id"]] == [
        False
    ]


async def test_cut_by_the_caller__before_the_first_byte(
    worker: Worker, model: ScriptedModel
) -> None:
    asking = asyncio.create_task(worker.ask("/v1/messages", script({"hang": 30}), stream=True))

    async def asked() -> bool:
        return bool(model.open())

    await until(asked, "the provider was asked")
    (is_open,) = await worker.calls(state="open")
    assert (is_open["source"], is_open["ended_at"]) == (None, None)
    asking.cancel()
    (call,) = await worker.booked("cut")
    assert (call["status"], call["source"], call["output_tokens"]) == (None, "estimated", 0)
    assert call["input_tokens"] == is_open["input_tokens"] > 0

    async def left() -> bool:
        return not model.open()

    await until(left, "the provider's connection is closed")


def impatient(worker: Worker, patch: pytest.MonkeyPatch, silence: float) -> None:
    patch.setattr(worker.plane.app.services.model_gateway._provider, "_silence", silence)


@pytest.mark.parametrize("spoken", SPOKEN)
async def test_silent__before_the_first_byte(
    worker: Worker, spoken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient(worker, monkeypatch, 1.0)
    answer = await worker.ask(PATHS[spoken], script({"hang": 30}), stream=True)
    assert answer.status_code == 504
    told = answer.json()["error"]
    assert "did not answer within 1 s" in told["message"]
    assert told["type"] == ("timeout_error" if spoken == "messages" else "server_error")
    (call,) = await worker.booked("cut")
    assert (call["status"], call["source"]) == (None, "estimated")
    assert call["input_tokens"] > 20


async def test_silent__in_the_middle(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    impatient(worker, monkeypatch, 5.0)  # long enough for the first byte
    reply = {"text": LONG, "delay": 20}
    with pytest.raises(httpx.RemoteProtocolError):
        await worker.ask("/v1/messages", script(reply), stream=True)
    (call,) = await worker.booked("cut")
    assert call["status"] == 200


async def test_whole_answer__that_is_half(worker: Worker, spoilt: SpoiltProvider) -> None:
    """As HTTP it ended; its JSON did not."""
    await worker.lead(f"{spoilt.url}/halves")
    with pytest.raises(httpx.RemoteProtocolError):
        await worker.ask("/v1/messages")
    (call,) = await worker.booked("cut")
    assert call["source"] == "estimated"


async def test_last_word__is_the_end_though_the_provider_stays(
    worker: Worker, spoilt: SpoiltProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control_plane.services.model_passing.LINGER", 0.2)
    await worker.lead(f"{spoilt.url}/lingers")
    answer = await worker.ask("/v1/messages", stream=True)
    assert "message_stop" in answer.text
    (call,) = await worker.calls()
    assert (call["state"], call["source"]) == ("completed", "metered")
    assert (call["input_tokens"], call["output_tokens"]) == (5, 6)


async def test_slow_reader__slows_the_provider(worker: Worker, spoilt: SpoiltProvider) -> None:
    """Nothing is held for whoever does not read: buffers of sockets fill, then all stand still."""
    await worker.lead(f"{spoilt.url}/floods")
    async with worker.streamed("/v1/messages", "flood") as answer:
        parts = answer.aiter_raw()
        await anext(parts)
        stood = -1
        while stood != spoilt.sent:
            stood = spoilt.sent
            await asyncio.sleep(0.5)  # long enough for megabytes, where somebody took them
        assert stood < len(PART) * PARTS / 5
        size = 0
        async for part in parts:
            size += len(part)
    assert size > len(PART) * (PARTS - 2)
    (call,) = await worker.booked("completed")
    assert call["source"] == "estimated"
