"""What does not pass, in the words of each wire format; and what the provider itself refuses."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import msgspec
import pytest

from tests.control_plane.models.caller import PATHS, Worker
from tests.control_plane.models.conftest import KEY, NOBODY
from tests.control_plane.models.spoilt import SpoiltProvider
from tests.fixtures.scripted_model import request_of, script

SPOKEN = ["messages", "responses", "chat"]


def message(answer: httpx.Response, spoken: str, kind: str, code: str) -> str:
    """What it says, once its shape is the format's."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/json"
    if spoken == "messages":
        assert (body["type"], set(body["error"])) == ("error", {"type", "message"})
        assert body["error"]["type"] == kind
    else:
        assert set(body["error"]) == {"message", "type", "param", "code"}
        assert body["error"]["code"] == code
    return body["error"]["message"]


@pytest.mark.parametrize("spoken", [*SPOKEN, "embeddings"])
async def test_model__that_is_not_allowed(worker: Worker, spoken: str) -> None:
    body = {**request_of(PATHS[spoken], "x"), "model": "other"}
    answer = await worker.http.post(PATHS[spoken], json=body)
    assert answer.status_code == 404
    told = message(answer, spoken, "not_found_error", "model_not_found")
    assert "other" in told
    assert "offered: m, scripted-1" in told
    assert await worker.calls() == []


@pytest.mark.parametrize("spoken", SPOKEN)
async def test_format__without_an_upstream(worker: Worker, spoken: str) -> None:
    await worker.upstream(formats=["embeddings"], url=NOBODY, key=KEY)
    answer = await worker.ask(PATHS[spoken])
    assert answer.status_code == 404
    told = message(answer, spoken, "not_found_error", "model_not_found")
    assert f"berth models set NAME --upstream URL --format {spoken} --model m" in told


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 429, 500, 529])
@pytest.mark.parametrize("spoken", SPOKEN)
async def test_refused__verbatim(worker: Worker, spoken: str, status: int) -> None:
    body = {"error": {"type": "of_its_own", "message": "né ☂ no"}, "more": [1.0, None]}
    reply = {"status": status, "body": body, "retry_after": 7}
    answer = await worker.ask(PATHS[spoken], script(reply), stream=True)
    assert answer.status_code == status
    assert answer.json() == body
    assert answer.headers["retry-after"] == "7"
    (call,) = await worker.calls()
    assert (call["state"], call["status"], call["source"]) == ("refused", status, None)
    assert (call["input_tokens"], call["output_tokens"]) == (0, 0)


@pytest.mark.parametrize("spoken", SPOKEN)
async def test_away__says_so_and_costs_nothing(worker: Worker, spoken: str) -> None:
    await worker.lead(NOBODY)
    answer = await worker.ask(PATHS[spoken])
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    told = message(answer, spoken, "api_error", "dependency_unavailable")
    assert "the upstream scripted is unavailable" in told
    (call,) = await worker.calls()
    assert (call["state"], call["status"], call["source"]) == ("refused", None, None)
    assert call["input_tokens"] == 0


@pytest.mark.parametrize("spoken", SPOKEN)
async def test_hung_up__before_the_first_byte(worker: Worker, spoken: str) -> None:
    answer = await worker.ask(PATHS[spoken], script({"die_at_once": True}))
    assert answer.status_code == 503
    message(answer, spoken, "api_error", "dependency_unavailable")
    (call,) = await worker.calls()
    assert (call["state"], call["source"]) == ("cut", "estimated")
    assert call["input_tokens"] > 20


async def test_redirect__is_not_followed(worker: Worker, spoilt: SpoiltProvider) -> None:
    await worker.lead(f"{spoilt.url}/redirects")
    answer = await worker.ask("/v1/messages")
    assert answer.status_code == 503
    assert "location" not in answer.headers
    assert "it redirects" in answer.json()["error"]["message"]
    assert len(spoilt.seen) == 1
    (call,) = await worker.calls()
    assert (call["state"], call["status"]) == ("refused", 307)


async def test_packed_answer__is_not_taken(worker: Worker, spoilt: SpoiltProvider) -> None:
    await worker.lead(f"{spoilt.url}/packs")
    asked = request_of("/v1/messages", "x")
    answer = await worker.http.post(
        "/v1/messages", json=asked, headers={"Accept-Encoding": "gzip, br"}
    )
    assert answer.status_code == 503
    assert "packed" in answer.json()["error"]["message"]
    assert spoilt.seen[0].headers["accept-encoding"] == "identity"


WRONG: dict[str, tuple[str, Any, str]] = {
    "no JSON": ("/v1/messages", b"{", "body"),
    "a list": ("/v1/messages", b"[]", "body"),
    "no text": ("/v1/messages", b"\xff\xfe", "body"),
    "no model": ("/v1/messages", {"messages": []}, "model"),
    "a number as model": ("/v1/responses", {"model": 7}, "model"),
    "another model beside": ("/v1/messages", {"model": "m", "MODEL": "other"}, "MODEL"),
    "models to fall back to": ("/v1/chat/completions", {"model": "m", "models": ["x"]}, "models"),
    "in the background": ("/v1/responses", {"model": "m", "background": True}, "background"),
    "options of a wrong type": (
        "/v1/chat/completions",
        {"model": "m", "stream": True, "stream_options": 7},
        "stream_options",
    ),
}


@pytest.mark.parametrize("case", WRONG)
async def test_body__that_is_wrong(worker: Worker, case: str) -> None:
    path, body, field = WRONG[case]
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    answer = await worker.http.post(path, content=content)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["message"].startswith(f"{field}: expected ")
    assert await worker.calls() == []


async def test_body__names_its_model_once_to_the_provider(
    worker: Worker, spoilt: SpoiltProvider
) -> None:
    """Of two the provider might take the one that nobody checked."""
    await worker.lead(f"{spoilt.url}/cookies")
    twice = b'{"model":"other","n":1.50,"model":"m"}'
    assert (await worker.http.post("/v1/messages", content=twice)).status_code == 200
    assert spoilt.seen[0].body == b'{"model":"m","n":1.50}'


async def test_body__that_is_too_large(worker: Worker) -> None:
    async def parts() -> AsyncGenerator[bytes]:
        for _ in range(33):
            yield b" " * 1024 * 1024

    answer = await worker.http.post("/v1/messages", content=parts())
    assert answer.status_code == 413
    assert answer.json()["error"]["type"] == "request_too_large"


async def test_body__of_many_megabytes_passes(worker: Worker, spoilt: SpoiltProvider) -> None:
    """More than other routes take."""
    await worker.lead(f"{spoilt.url}/cookies")
    body = msgspec.json.encode(request_of("/v1/messages", "x" * 20_000_000))
    answer = await worker.http.post("/v1/messages", content=body)
    assert answer.status_code == 200, answer.text
    assert spoilt.seen[0].body == body


async def test_method__that_is_not_allowed(worker: Worker) -> None:
    assert (await worker.http.get("/v1/messages")).status_code == 405
    assert (await worker.http.post("/v1/models")).status_code == 405
    assert (await worker.http.post("/v1/files")).status_code == 404


async def test_worker__that_is_not_its_own(worker: Worker) -> None:
    asked = request_of("/v1/messages", "x")
    for token in ("", "Bearer wrong", f"Bearer {KEY}"):
        answer = await worker.http.post(
            "/v1/messages", json=asked, headers={"Authorization": token}
        )
        assert answer.status_code == 401, token
    assert await worker.calls() == []


@pytest.mark.parametrize("ended", ["superseded_at", "released_at"])
async def test_worker__whose_time_is_over(worker: Worker, ended: str) -> None:
    await worker.plane.connection.execute(f"UPDATE session_workers SET {ended} = now()")  # noqa: S608 # a column of ours
    answer = await worker.ask("/v1/messages")
    assert answer.status_code == 409, answer.text
    assert await worker.calls() == []


async def test_host__that_is_no_longer_allowed(worker: Worker) -> None:
    """Set when it was; the administrator has taken it back since."""
    await worker.plane.connection.execute(
        "UPDATE model_upstreams SET url = 'http://127.0.0.1:4444'"
    )
    answer = await worker.ask("/v1/messages")
    assert answer.status_code == 404
    assert "no upstream for /v1/messages" in answer.json()["error"]["message"]
    assert (await worker.http.get("/v1/models")).json()["data"] == []
