"""The scripted model over HTTP, as an agent's CLI calls it."""

import json
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
TOOLS = [{"name": "Write"}, {"name": "Bash"}]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model") / "requests.jsonl"


@pytest.fixture(scope="module")
def model(log: Path) -> Generator[httpx.Client]:
    argv = [sys.executable, "-m", "scripted.model_server", "--log", str(log)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = json.loads(server.stdout.readline())["url"]
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            yield client
        server.kill()


def script(*replies: dict[str, Any]) -> dict[str, str]:
    return {"role": "user", "content": f"Please. <<SCRIPT{json.dumps(replies)}SCRIPT>>"}


def asked(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "scripted-1", "tools": TOOLS, "messages": list(messages), **more}


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    lines = [line for line in answer.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def text_of(found: list[dict[str, Any]]) -> str:
    deltas = [one["delta"] for one in found if one["type"] == "content_block_delta"]
    return "".join(delta.get("text", "") for delta in deltas)


def test_messages__streamed_in_order(model: httpx.Client) -> None:
    replies = script({"think": "well", "text": "One two.", "tools": [["Bash", {"command": "ls"}]]})
    found = events(model.post("/v1/messages", json=asked(replies, stream=True)))
    assert found[0]["type"] == "message_start"
    assert found[-1]["type"] == "message_stop"
    starts = [one["content_block"]["type"] for one in found if "content_block" in one]
    assert starts == ["thinking", "text", "tool_use"]
    assert text_of(found) == "One two."
    assert found[-2]["delta"]["stop_reason"] == "tool_use"


def test_messages__the_nth_answer_for_the_nth_request(model: httpx.Client) -> None:
    first = script({"text": "a"}, {"text": "b"})
    past = [
        first,
        {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "Bash"}]},
        {"role": "user", "content": [{"type": "tool_result", "content": "done"}]},
    ]
    answers = [
        model.post("/v1/messages", json=asked(*messages)).json()["content"][0]["text"]
        for messages in ([first], past, [*past, {"role": "assistant", "content": "b"}, *past[2:]])
    ]
    assert answers == ["a", "b", "My script has ended."]


def test_messages__recalls_only_what_the_request_carries(model: httpx.Client) -> None:
    told = {"role": "user", "content": "The password is xyzzy."}
    recall = script({"recall": "password is (\\w+)"})
    knows = model.post("/v1/messages", json=asked(told, recall)).json()
    assert knows["content"][0]["text"] == "xyzzy"
    knows_not = model.post("/v1/messages", json=asked(recall)).json()
    assert knows_not["content"][0]["text"] == "I do not remember it."


def test_messages__tools_work_where_the_agent_does(model: httpx.Client) -> None:
    system = [{"type": "text", "text": "# Environment\n - Working directory: /w/s\n - Git: no"}]
    write = script({"tools": [["Write", {"file_path": "{cwd}/a.txt", "content": "x"}]]})
    answer = model.post("/v1/messages", json=asked(write, system=system)).json()
    assert answer["content"][0]["input"]["file_path"] == "/w/s/a.txt"


def test_messages__an_error_in_the_providers_shape(model: httpx.Client) -> None:
    answer = model.post("/v1/messages", json=asked(script({"status": 429})))
    assert answer.status_code == 429
    assert answer.json()["error"]["type"] == "rate_limit_error"


def test_messages__cut_in_the_middle(model: httpx.Client) -> None:
    cut = script({"text": "one two three", "die_after": 2})
    answer = model.stream("POST", "/v1/messages", json=asked(cut, stream=True))
    told: list[str] = []
    with answer as begun, pytest.raises(httpx.RemoteProtocolError):
        told.extend(begun.iter_lines())
    assert [word for word in ("one", "two", "three") if word in "".join(told)] == ["one", "two"]


def test_side_calls__do_not_use_up_the_script(model: httpx.Client) -> None:
    title = {"model": "scripted-1", "messages": [script({"text": "a"})]}
    assert model.post("/v1/messages", json=title).json()["content"][0]["text"] == "A title"


def test_log__is_a_witness(model: httpx.Client, log: Path) -> None:
    model.post("/v1/messages", json=asked(script({"text": "seen"})))
    last = json.loads(log.read_text().splitlines()[-1])
    assert last["tools"] == ["Write", "Bash"]
    assert last["step"] == 0
    assert "seen" in last["conversation"][0][1]


def test_others__are_refused(model: httpx.Client) -> None:
    assert model.post("/v1/unknown", json={}).status_code == 404
    assert model.post("/v1/messages", content=b"{").status_code == 400
    assert model.get("/v1/models").json()["data"][0]["id"] == "scripted-1"
