"""What a model can do wrong, on request: each is seen by the client as it would be with a provider,
and stands in the ledger as what it was.
"""

import json
import socket
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import pytest

from tests.fixtures.scripted_model import ScriptedModel, request_of, running_model, script

PATHS = ("/v1/messages", "/v1/responses", "/v1/chat/completions")
ENDS = {
    "/v1/messages": "message_stop", "/v1/responses": "response.completed",
    "/v1/chat/completions": "[DONE]",
}  # fmt: skip
WITHIN = 30.0


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Generator[ScriptedModel]:
    with running_model(tmp_path_factory.mktemp("model")) as running:
        yield running


def streamed(
    model: ScriptedModel, path: str, reply: dict[str, Any]
) -> tuple[str, Exception | None]:
    """What came, and what broke it off."""
    told: list[str] = []
    asked = request_of(path, script(reply), stream=True)
    try:
        with model.http.stream("POST", path, json=asked) as answer:
            assert answer.status_code == 200
            told.extend(answer.iter_lines())
    except httpx.TransportError as error:
        return "\n".join(told), error
    return "\n".join(told), None


def last(model: ScriptedModel) -> tuple[str, bool, int]:
    entry, line = model.ledger()[-1], model.log()[-1]
    assert entry["id"] == line["id"]
    return line["ended"], entry["complete"], entry["output_tokens"]


def wait_until(holds: Any, otherwise: str) -> None:
    ends = time.monotonic() + WITHIN
    while not holds():
        assert time.monotonic() < ends, otherwise
        time.sleep(0.02)


@pytest.mark.parametrize("path", PATHS)
def test_cut__in_the_middle(model: ScriptedModel, path: str) -> None:
    told, broke = streamed(model, path, {"text": "one two three", "die_after": 2})
    assert isinstance(broke, httpx.RemoteProtocolError)
    assert "one" in told
    assert "two" in told
    assert "three" not in told
    assert last(model)[:2] == ("cut on purpose", False)


@pytest.mark.parametrize("path", PATHS)
def test_cut__between_the_last_word_and_the_end(model: ScriptedModel, path: str) -> None:
    told, broke = streamed(model, path, {"text": "one two three", "die_after": 3})
    assert isinstance(broke, httpx.RemoteProtocolError)
    assert "three" in told
    assert ENDS[path] not in told
    assert last(model)[1] is False


@pytest.mark.parametrize("path", PATHS)
def test_cut__that_looks_whole_as_http(model: ScriptedModel, path: str) -> None:
    told, broke = streamed(model, path, {"text": "one two", "die_after": 1, "quiet": True})
    assert broke is None
    assert "one" in told
    assert ENDS[path] not in told
    assert last(model)[:2] == ("cut on purpose", False)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("stream", [True, False])
def test_cut__before_the_first_byte(model: ScriptedModel, path: str, *, stream: bool) -> None:
    asked = request_of(path, script({"text": "never", "die_at_once": True}), stream=stream)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        model.http.post(path, json=asked)
    assert last(model) == ("cut on purpose", False, 0)
    assert model.ledger()[-1]["status"] is None


@pytest.mark.parametrize("path", PATHS)
def test_cut__of_a_whole_answer(model: ScriptedModel, path: str) -> None:
    asked = request_of(path, script({"text": "one two", "die_after": 0}))
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        model.http.post(path, json=asked)
    assert last(model) == ("cut on purpose", False, 0)


@pytest.mark.parametrize(
    ("path", "told_so"),
    [
        ("/v1/messages", "overloaded_error"),
        ("/v1/responses", "response.failed"),
        ("/v1/chat/completions", "server_error"),
    ],
)
def test_failure__told_in_the_stream(model: ScriptedModel, path: str, told_so: str) -> None:
    told, broke = streamed(model, path, {"text": "one two", "fail_after": 1})
    assert broke is None
    assert told_so in told
    assert ENDS[path] not in told
    assert last(model)[:2] == ("failed on purpose", False)


def test_messages__what_a_cut_answer_had_told_is_booked(model: ScriptedModel) -> None:
    reply = {"text": "one two", "die_after": 1, "usage": [7, 3, 5]}
    streamed(model, "/v1/messages", reply)
    entry = model.ledger()[-1]
    assert (entry["input_tokens"], entry["cached_tokens"], entry["output_tokens"]) == (7, 5, 1)


@pytest.mark.parametrize("path", PATHS)
def test_times__the_first_ones_fail(model: ScriptedModel, path: str) -> None:
    reply = {"text": "at last", "status": 429, "retry_after": 0.5, "times": 2}
    asked = request_of(path, script(reply, said=uuid4().hex))
    answers = [model.http.post(path, json=asked) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert [answer.headers.get("Retry-After") for answer in answers] == ["0.5", "0.5", None]
    assert "at last" in answers[-1].text


def test_times__counted_for_each_conversation(model: ScriptedModel) -> None:
    reply = {"text": "x", "status": 500, "times": 1}
    path = "/v1/responses"
    asked = [request_of(path, script(reply, said=uuid4().hex)) for _ in range(2)]
    statuses = [model.http.post(path, json=asked[n]).status_code for n in (0, 1, 0, 1)]
    assert statuses == [500, 500, 200, 200]


def test_hang__ends_when_the_client_leaves(model: ScriptedModel) -> None:
    said = uuid4().hex
    body = json.dumps(request_of("/v1/messages", script({"hang": 600}, said=said))).encode()
    place = urlsplit(model.url)
    assert place.hostname is not None
    with socket.create_connection((place.hostname, place.port)) as client:
        head = f"POST /v1/messages HTTP/1.1\r\nHost: m\r\nContent-Length: {len(body)}\r\n\r\n"
        client.sendall(head.encode() + body)
        wait_until(lambda: said in str(model.open()), "it never came")
    wait_until(lambda: not model.open(), "the server did not notice")
    assert last(model) == ("client left", False, 0)


def test_stream__left_in_the_middle(model: ScriptedModel) -> None:
    reply = {"text": "word " * 1000, "delay": 0.1}
    asked = request_of("/v1/chat/completions", script(reply), stream=True)
    with model.http.stream("POST", "/v1/chat/completions", json=asked) as answer:
        next(answer.iter_lines())
    wait_until(lambda: not model.open(), "the server did not notice")
    assert last(model) == ("client left", False, 0)


def test_delay__pieces_come_one_by_one(model: ScriptedModel) -> None:
    """The first ones are here long before the last one is sent."""
    asked = request_of("/v1/responses", script({"text": "a " * 1000, "delay": 0.1}), stream=True)
    with model.http.stream("POST", "/v1/responses", json=asked) as answer:
        pieces = (line for line in answer.iter_lines() if '.delta"' in line)
        for _ in range(3):
            next(pieces)
        assert len(model.open()) == 1
    wait_until(lambda: not model.open(), "the server did not notice")


def test_clients__are_answered_beside_each_other(model: ScriptedModel) -> None:
    path = "/v1/messages"
    slow = request_of(path, script({"text": "slow", "delay": 600}), stream=True)
    with model.http.stream("POST", path, json=slow) as begun, ThreadPoolExecutor(10) as beside:
        lines = begun.iter_lines()
        next(lines)
        asked = [request_of(path, script({"text": f"number {n}"})) for n in range(10)]
        answers = list(beside.map(lambda body: model.http.post(path, json=body).json(), asked))
        assert len(model.open()) == 1
    texts = [answer["content"][0]["text"] for answer in answers]
    assert texts == [f"number {n}" for n in range(10)]
