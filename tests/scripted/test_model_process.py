"""The scripted model as a process: its keys, its scenario file, its side calls, its end."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.scripted_model import ROOT, request_of, running_model, script

PATHS = ("/v1/messages", "/v1/responses", "/v1/chat/completions")
GUARDIAN = {
    "type": "object",
    "properties": {
        "risk_level": {"type": "string", "enum": ["low", "high"]},
        "outcome": {"type": "string", "enum": ["allow", "deny"]},
        "rationale": {"type": "string"},
    },
    "required": ["outcome"],
}


def test_key__another_one_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "keys"
    key.write_text("first-key\nsecond-key\n")
    with running_model(tmp_path, "--key-file", str(key)) as model:
        for path in PATHS:
            asked = request_of(path, script({"text": "hello"}))
            shown: list[tuple[str, dict[str, str]]] = [
                ("none", {}),
                ("wrong", {"Authorization": "Bearer nope"}),
                ("bearer", {"Authorization": "Bearer second-key"}),
                ("header", {"X-API-Key": "first-key"}),
            ]
            found = {n: model.http.post(path, json=asked, headers=h) for n, h in shown}
            statuses = {name: answer.status_code for name, answer in found.items()}
            assert statuses == {"none": 401, "wrong": 401, "bearer": 200, "header": 200}
            assert "error" in found["none"].json()
            entries = [(e["status"], e["complete"]) for e in model.ledger()[-4:]]
            assert entries == [(401, False), (401, False), (200, True), (200, True)]
            assert [line.get("key") for line in model.log()[-4:]] == [None, None, 1, 0]
        assert model.http.get("/v1/models").status_code == 401
        assert "-key" not in json.dumps(model.log() + model.ledger())


def test_scenario__from_a_file_for_prompts_without_a_script(tmp_path: Path) -> None:
    scenario = tmp_path / "scenario.json"
    replies = [{"text": "it is sunny"}, {"text": "still sunny"}]
    parts = [{"when": "weather", "replies": replies}, {"replies": [{"text": "whatever"}]}]
    scenario.write_text(json.dumps(parts))
    with running_model(tmp_path, "--scenario", str(scenario)) as model:

        def answer(*said: tuple[str, str]) -> str:
            messages = [{"role": role, "content": content} for role, content in said]
            asked = {**request_of("/v1/messages", ""), "messages": messages}
            return model.http.post("/v1/messages", json=asked).json()["content"][0]["text"]

        weather = ("user", "How is the weather?")
        assert answer(weather) == "it is sunny"
        assert answer(weather, ("assistant", "it is sunny")) == "still sunny"
        assert answer(("user", "hello")) == "whatever"
        assert answer(("user", script({"text": "mine"}))) == "mine"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[", "truncated"),
        ('[{"when": "(", "replies": []}]', "unterminated"),
        ('[{"replies": [{"txt": "x"}]}]', "txt"),
    ],
)
def test_scenario__a_wrong_file_stops_the_start(tmp_path: Path, content: str, said: str) -> None:
    scenario = tmp_path / "scenario.json"
    scenario.write_text(content)
    argv = [sys.executable, "-m", "scripted.model_server", "--scenario", str(scenario)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert said in done.stderr


def side_calls() -> list[tuple[str, dict[str, Any]]]:
    text = script({"text": "the script's"})
    schema = {"type": "json_schema", "name": "x", "schema": GUARDIAN}
    suggestion = [{"role": "user", "content": f"[SUGGESTION MODE: …] {text}"}]
    return [
        ("/v1/messages", {**request_of("/v1/messages", text), "tools": []}),
        ("/v1/messages", {**request_of("/v1/messages", text), "messages": suggestion}),
        ("/v1/responses", request_of("/v1/responses", text, text={"format": schema})),
        ("/v1/chat/completions", {**request_of("/v1/chat/completions", text), "tools": None}),
    ]


@pytest.mark.parametrize(("path", "asked"), side_calls())
def test_side_call__is_answered_plainly_and_marked(
    tmp_path: Path, path: str, asked: dict[str, Any]
) -> None:
    with running_model(tmp_path) as model:
        answer = model.http.post(path, json=asked)
        assert answer.status_code == 200
        assert "the script's" not in answer.text
        [line] = model.log()
        assert (line["side"], line["step"]) == (True, -2)
        main = model.http.post(path, json=request_of(path, script({"text": "the script's"})))
        assert "the script's" in main.text
        assert [entry["output_tokens"] for entry in model.ledger()] == [2, 20]


def test_side_call__a_reviewer_denies(tmp_path: Path) -> None:
    [_, _, (path, asked), _] = side_calls()
    with running_model(tmp_path) as model:
        told = model.http.post(path, json=asked).json()["output"][0]["content"][0]["text"]
        assert json.loads(told)["outcome"] == "deny"


def test_body__in_chunks_as_a_proxy_sends_it(tmp_path: Path) -> None:
    whole = json.dumps(request_of("/v1/responses", script({"text": "hello"}))).encode()
    with running_model(tmp_path) as model:
        pieces = (whole[start : start + 100] for start in range(0, len(whole), 100))
        answer = model.http.post("/v1/responses", content=pieces)
        assert "hello" in answer.text


@pytest.mark.parametrize("path", PATHS)
def test_body__that_is_none_is_refused(tmp_path: Path, path: str) -> None:
    with running_model(tmp_path) as model:
        for content in (b"{", b"[]", b'{"messages": [1], "input": [1]}'):
            answer = model.http.post(path, content=content)
            assert answer.status_code == 400
            assert "the body is wrong" in answer.json()["error"]["message"]


def test_sigterm__books_what_is_still_open(tmp_path: Path) -> None:
    reply = {"text": "one two", "delay": 600, "usage": [7, 3, 5]}
    asked = request_of("/v1/messages", script(reply), stream=True)
    with running_model(tmp_path) as model:
        with (
            httpx.Client(base_url=model.url, trust_env=False, timeout=30) as client,
            client.stream("POST", "/v1/messages", json=asked) as answer,
        ):
            lines = answer.iter_lines()
            next(lines)
            model.process.send_signal(signal.SIGTERM)
            assert model.process.wait(30) == 0
        [entry], [line] = model.ledger(), model.log()
        assert line["ended"] == "server stopped"
        assert (entry["complete"], entry["input_tokens"]) == (False, 7)
