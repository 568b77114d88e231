"""Upstreams as administrators set them, and as workers are offered them."""

from typing import Any

import pytest

from control_plane.domain.model_hosts import ModelHosts, WrongUrl, plain
from tests.control_plane.models.caller import FORMATS, MODELS, Worker
from tests.control_plane.models.conftest import KEY, NOBODY
from tests.fixtures.control_plane import Caller
from tests.fixtures.scripted_model import ScriptedModel

GOOD = {"url": NOBODY, "formats": ["messages"], "models": ["m"], "key": KEY}


async def put(worker: Worker, name: str = "another", **changes: Any) -> Any:
    return await worker.owner.http.put(f"{worker.upstreams}/{name}", json={**GOOD, **changes})


async def test_upstream__made_listed_changed_removed(worker: Worker) -> None:
    made = await put(worker, url=f"{NOBODY}/prefix/")
    assert made.status_code == 200, made.text
    shown = made.json()
    assert shown["url"] == f"{NOBODY}/prefix"
    assert (shown["has_key"], "key" in shown) == (True, False)
    http = worker.owner.http
    listed = (await http.get(worker.upstreams)).json()["items"]
    assert [one["name"] for one in listed] == ["scripted", "another"]
    changed = await put(worker, key=None, models=["a", "b", "a"])
    assert changed.json()["models"] == ["a", "b"]
    assert changed.json()["created_at"] == shown["created_at"]
    assert (await http.delete(f"{worker.upstreams}/another")).status_code == 204
    gone = await http.delete(f"{worker.upstreams}/another")
    assert (gone.status_code, gone.json()["code"]) == (404, "not_found")
    audited = (await http.get("/api/v1/audit")).json()["items"]
    told = [(one["action"], one["target"], one["detail"].get("key_changed")) for one in audited]
    assert told[:3] == [
        ("model_upstream.remove", "another", None),
        ("model_upstream.put", "another", False),
        ("model_upstream.put", "another", True),
    ]
    assert audited[1]["detail"]["models"] == ["a", "b"]


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "another host": ({"url": "https://api.example.com"}, "url", "BERTH_MODEL_HOSTS"),
    "another port": ({"url": "http://127.0.0.1:10"}, "url", "BERTH_MODEL_HOSTS"),
    "no https": ({"url": "https://127.0.0.1:9"}, "url", "BERTH_MODEL_HOSTS"),
    "no URL": ({"url": "api.example.com"}, "url", "https://api.example.com"),
    "a password": ({"url": "http://u:p@127.0.0.1:9"}, "url", "the key has a field of its own"),
    "a query": ({"url": f"{NOBODY}/?key=1"}, "url", "without a query"),
    "a way up": ({"url": f"{NOBODY}/a/../b"}, "url", "plain segments"),
    "the version": ({"url": f"{NOBODY}/v1"}, "url", "before `/v1`"),
    "an unknown format": (
        {"formats": ["gemini"]},
        "formats[0]",
        "one of messages, responses, chat, embeddings",
    ),
    "no format": ({"formats": []}, "formats", ""),
    "no model": ({"models": []}, "models", ""),
    "a model with a space": ({"models": ["a b"]}, "models[0]", ""),
    "no key at first": ({"key": None}, "key", "this upstream is new"),
    "a key with a line end": ({"key": "sk-a\n"}, "key", "visible ASCII"),
    "an unknown field": ({"colour": "red"}, "colour", "no such field"),
    "an unknown way": ({"auth": "basic"}, "auth", "one of bearer, x-api-key"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_upstream__that_is_wrong(worker: Worker, case: str) -> None:
    changes, field, words = WRONG[case]
    answer = await put(worker, **changes)
    assert answer.status_code == 400, answer.text
    told = answer.json()
    assert (told["code"], told["details"]["field"]) == ("validation_failed", field)
    assert words in told["detail"]
    assert KEY not in answer.text


async def test_upstream__with_a_name_that_is_none(worker: Worker) -> None:
    answer = await put(worker, name="Not-a-name")
    assert answer.status_code == 400
    assert answer.json()["details"]["field"] == "name"


async def test_key__is_not_sent_to_another_host_than_it_was_set_for(
    worker: Worker, model: ScriptedModel
) -> None:
    answer = await put(worker, name="scripted", url=NOBODY, key=None)
    assert answer.status_code == 400
    assert "another host" in answer.json()["detail"]
    assert (await put(worker, name="scripted", url=f"{model.url}/x", key=None)).status_code == 200


async def test_upstreams__are_for_owners(
    worker: Worker, member: Caller, viewer: Caller, stranger: Caller
) -> None:
    for caller, status in ((member, 403), (viewer, 403), (stranger, 404)):
        http = caller.http
        assert (await http.get(worker.upstreams)).status_code == status
        assert (await http.put(f"{worker.upstreams}/x", json=GOOD)).status_code == status
        assert (await http.delete(f"{worker.upstreams}/scripted")).status_code == status


async def test_models__are_those_that_are_allowed(worker: Worker) -> None:
    await put(worker, models=["z", "m", "a"], formats=["messages"])
    answer = await worker.http.get("/v1/models")
    listing = answer.json()
    assert [one["id"] for one in listing["data"]] == [*MODELS, "z", "a"]
    assert (listing["object"], listing["has_more"]) == ("list", False)
    assert (listing["first_id"], listing["last_id"]) == (MODELS[0], "a")
    first = listing["data"][0]
    assert (first["object"], first["type"], first["owned_by"]) == ("model", "model", "scripted")
    assert first["display_name"] == MODELS[0]
    chat = (await worker.http.get("/v1/models", params={"format": "chat"})).json()
    assert [one["id"] for one in chat["data"]] == MODELS


async def test_models__of_no_upstream_and_of_an_unknown_format(worker: Worker) -> None:
    await worker.owner.http.delete(f"{worker.upstreams}/scripted")
    empty = (await worker.http.get("/v1/models")).json()
    assert (empty["data"], empty["first_id"]) == ([], None)
    answer = await worker.http.get("/v1/models", params={"format": "gemini"})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == f"format: expected one of {', '.join(FORMATS)}"


async def test_model__of_two_upstreams_goes_to_the_first(
    worker: Worker, model: ScriptedModel
) -> None:
    await put(worker, url=NOBODY, formats=FORMATS, models=[*MODELS, "z"])
    assert (await worker.ask("/v1/messages")).status_code == 200
    body = {"model": "z", "messages": []}
    assert (await worker.http.post("/v1/messages", json=body)).status_code == 503
    assert [call["upstream"] for call in await worker.calls()] == ["another", "scripted"]


def test_hosts__a_name_is_https_on_its_usual_port() -> None:
    hosts = ModelHosts(["api.example.com", "http://Model:8080", "https://[::1]:8443/"])
    for url in (
        "https://api.example.com",
        "https://API.example.com:443/a",
        "http://model:8080/x",
        "https://[::1]:8443",
    ):
        assert hosts.allows(url), url
    for url in (
        "http://api.example.com",
        "https://api.example.com:8443",
        "https://api.example.com.evil.example",
        "https://api.example.com@evil.example",
        "https://evil.example#api.example.com",
        "https://evil.example\\@api.example.com",
        "https://model:8080",
        "http://model",
        "http://[::1]:8443",
        "ftp://api.example.com",
        "",
    ):
        assert not hosts.allows(url), url


def test_url__is_kept_plain() -> None:
    assert plain("https://API.example.com:443/a/b/") == "https://api.example.com/a/b"
    assert plain("http://[::1]:80") == "http://[::1]"
    for wrong in ("https://a/b//c", "https://a/%2e%2e", "https://a b", "https://a:x", "//a"):
        with pytest.raises(WrongUrl):
            plain(wrong)
