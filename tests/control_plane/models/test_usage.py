"""What meters read from a provider's words, however the network cuts them into parts."""

import itertools
import json
import random
from typing import Any

import pytest

from contracts.models import WireFormat
from control_plane.domain import event_stream
from control_plane.domain.event_stream import EventReader
from control_plane.domain.model_usage import Meter, Usage, meter_for

REQUEST = 400

MESSAGES: list[Any] = [
    {
        "type": "message_start",
        "message": {
            "id": "msg_1",
            "usage": {
                "input_tokens": 10,
                "cache_creation_input_tokens": 5,
                "cache_read_input_tokens": 7,
                "output_tokens": 1,
            },
        },
    },
    {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "Hällo\n\r you"}},
    {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hm"}},
    {"type": "content_block_delta", "delta": {"type": "input_json_delta", "partial_json": "{}"}},
    {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "c2ln"}},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"output_tokens": 42, "output_tokens_details": {"thinking_tokens": 9}},
    },
    {"type": "message_stop"},
]
RESPONSES: list[Any] = [
    {"type": "response.created", "response": {"id": "resp_1", "usage": None}},
    {"type": "response.output_item.added", "item": {"type": "message"}},
    {"type": "response.output_text.delta", "delta": "Hello you"},
    {"type": "response.function_call_arguments.delta", "delta": "{}"},
    {
        "type": "response.completed",
        "response": {
            "id": "resp_1",
            "status": "completed",
            "usage": {
                "input_tokens": 22,
                "input_tokens_details": {"cached_tokens": 7},
                "output_tokens": 42,
                "output_tokens_details": {"reasoning_tokens": 9},
            },
        },
    },
]
CHAT: list[Any] = [
    {"id": "chatcmpl-1", "choices": [{"delta": {"role": "assistant", "content": None}}]},
    {"id": "chatcmpl-1", "choices": [{"delta": {"content": "Hello"}}], "usage": None},
    {"id": "chatcmpl-1", "choices": [{"delta": {"reasoning_content": "hmmm"}}]},
    {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": "{}"}}, {}]}}]},
    {
        "id": "chatcmpl-1",
        "choices": [],
        "usage": {
            "prompt_tokens": 22,
            "prompt_tokens_details": {"cached_tokens": 7},
            "completion_tokens": 42,
            "completion_tokens_details": {"reasoning_tokens": 9},
        },
    },
    "[DONE]",
]
STREAMS: dict[WireFormat, list[Any]] = {
    "messages": MESSAGES,
    "responses": RESPONSES,
    "chat": CHAT,
}
WHOLE_USAGE: dict[WireFormat, Usage] = {
    "messages": Usage(input_tokens=15, output_tokens=42, cached_tokens=7, thought_tokens=9),
    "responses": Usage(input_tokens=15, output_tokens=42, cached_tokens=7, thought_tokens=9),
    "chat": Usage(input_tokens=15, output_tokens=42, cached_tokens=7, thought_tokens=9),
}
SPOKEN = list(STREAMS)


def wire(events: list[Any], line_end: str = "\n") -> bytes:
    lines: list[str] = []
    for event in events:
        kind = event.get("type", "") if isinstance(event, dict) else ""
        lines += [f"event: {kind}"] if kind else []
        data = event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)
        lines += [f"data: {data}", ": a comment", ""]
    return line_end.join([*lines, ""]).encode()


def fed(wire_format: WireFormat, parts: list[bytes], *, streamed: bool = True) -> Meter:
    meter = meter_for(wire_format, streamed=streamed, request_bytes=REQUEST)
    for part in parts:
        meter.feed(part)
    meter.end()
    return meter


@pytest.mark.parametrize("spoken", SPOKEN)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])
def test_stream__is_metered_however_it_is_cut_into_parts(spoken: WireFormat, line_end: str) -> None:
    whole = b"\xef\xbb\xbf" + wire(STREAMS[spoken], line_end)
    dice = random.Random(line_end)
    for _ in range(200):
        places = [0, *sorted(dice.choices(range(len(whole)), k=dice.randrange(60))), len(whole)]
        meter = fed(spoken, [whole[one:other] for one, other in itertools.pairwise(places)])
        assert (meter.ended, meter.metered, meter.failed) == (True, True, False), places
        assert meter.usage() == WHOLE_USAGE[spoken], places
        assert meter.provider_id in {"msg_1", "resp_1", "chatcmpl-1"}


@pytest.mark.parametrize("spoken", SPOKEN)
def test_stream__byte_by_byte(spoken: WireFormat) -> None:
    whole = wire(STREAMS[spoken], "\r\n")
    assert fed(spoken, [bytes([one]) for one in whole]).usage() == WHOLE_USAGE[spoken]


@pytest.mark.parametrize("spoken", SPOKEN)
def test_stream__cut_anywhere_is_estimated_unless_its_end_came(spoken: WireFormat) -> None:
    whole = wire(STREAMS[spoken])
    ended = 0
    for size in range(len(whole)):
        meter = fed(spoken, [whole[:size]])
        assert meter.metered is meter.ended, size
        ended += meter.ended
        usage = meter.usage()
        assert usage.input_tokens in {15, REQUEST // 4}, size
        assert usage.output_tokens in range(43), size
    assert ended < 20, "the last lines only"


def test_estimate__takes_what_was_said_and_four_bytes_for_the_rest() -> None:
    said = fed("messages", [wire(MESSAGES[:6])])
    bytes_that_came = len("Hällo\n\r you".encode()) + len("hm") + len("{}")
    assert said.usage() == Usage(
        input_tokens=15, cached_tokens=7, output_tokens=-(-bytes_that_came // 4)
    )
    assert fed("responses", [wire(RESPONSES[:3])]).usage() == Usage(
        input_tokens=REQUEST // 4, output_tokens=3
    )
    nearly = fed("messages", [wire(MESSAGES[:-1])])
    assert (nearly.ended, nearly.metered, nearly.usage().output_tokens) == (False, False, 42)


def test_stream__whole_without_usage_is_estimated() -> None:
    """Some servers do not know `include_usage`."""
    meter = fed("chat", [wire([*CHAT[:4], "[DONE]"])])
    assert (meter.ended, meter.metered) == (True, False)
    assert meter.usage() == Usage(input_tokens=REQUEST // 4, output_tokens=3)


def test_stream__failed() -> None:
    told = {"type": "response.failed", "response": {"id": "resp_1", "status": "failed"}}
    meter = fed("responses", [wire([RESPONSES[0], told])])
    assert (meter.ended, meter.failed, meter.metered) == (True, True, False)


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "error": {"type": "overloaded_error"}},
        {"error": {"message": "no"}},
        {"type": "message_start", "message": 7},
        {"type": "message_start", "message": {"id": 7}},
        {"type": "message_delta", "usage": {"output_tokens": "many"}},
        {"type": "message_delta", "usage": {"output_tokens": 2**70}},
        {"type": "response.output_text.delta", "delta": {"an": "object"}},
        {"choices": 7},
        7,
        "not json",
    ],
)
@pytest.mark.parametrize("spoken", SPOKEN)
def test_event__that_is_strange_harms_nothing(spoken: WireFormat, event: Any) -> None:
    stream = STREAMS[spoken]
    meter = fed(spoken, [wire([stream[0], event, *stream[1:]])])
    assert meter.ended
    assert meter.usage().input_tokens == 15
    assert meter.usage().output_tokens == 42


def test_counts__stay_within_bounds() -> None:
    """A sum of them must not overflow, and none takes away from others."""
    usage = {"prompt_tokens": -5, "completion_tokens": 10**18}
    meter = fed("chat", [wire([{"usage": usage}, "[DONE]"])])
    assert meter.usage() == Usage(input_tokens=0, output_tokens=10**12)


WHOLE: dict[WireFormat, dict[str, Any]] = {
    "messages": {
        "id": "msg_1",
        "type": "message",
        "usage": {
            "input_tokens": 15,
            "cache_read_input_tokens": 7,
            "output_tokens": 42,
            "output_tokens_details": {"thinking_tokens": 9},
        },
    },
    "responses": RESPONSES[-1]["response"],
    "chat": {**CHAT[4], "choices": [{"message": {"content": "Hello"}}]},
    "embeddings": {"data": [], "usage": {"prompt_tokens": 15, "total_tokens": 15}},
}


@pytest.mark.parametrize("spoken", WHOLE)
def test_whole__is_metered(spoken: WireFormat) -> None:
    body = json.dumps(WHOLE[spoken]).encode()
    meter = fed(spoken, [body[:7], body[7:]], streamed=False)
    expected = {**WHOLE_USAGE, "embeddings": Usage(input_tokens=15)}[spoken]
    assert (meter.ended, meter.metered, meter.usage()) == (True, True, expected)


@pytest.mark.parametrize("spoken", WHOLE)
def test_whole__that_is_none(spoken: WireFormat) -> None:
    body = json.dumps(WHOLE[spoken]).encode()
    for wrong in (b"", body[:-1], b"[]", b"<html>"):
        assert not fed(spoken, [wrong], streamed=False).ended


def test_whole__longer_than_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("control_plane.domain.model_usage.LONGEST_WHOLE", 1000)
    body = json.dumps({**WHOLE["chat"], "padding": "x" * 2000}).encode()
    meter = fed("chat", [body], streamed=False)
    assert (meter.ended, meter.metered, meter.usage().input_tokens) == (True, False, REQUEST // 4)


def test_reader__passes_over_what_is_longer_than_it_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_stream, "LONGEST", 1000)
    reader = EventReader()
    parts = [b"data: a\n\ndata: ", *[b"x" * 400] * 5, b"\n\ndata: b\n\n", b"data: c"]
    found = [data for part in parts for data in reader.feed(part)]
    assert [*found, *reader.end()] == [b"a", b"b", b"c"]


def test_reader__joins_lines_of_one_event() -> None:
    reader = EventReader()
    stream = b"id: 7\nretry: 5\ndata:one\ndata: two\ndata\nother: x\n\n\n\nevent: none\n\n"
    assert list(reader.feed(stream)) == [b"one\ntwo\n"]
