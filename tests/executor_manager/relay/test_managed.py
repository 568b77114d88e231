"""The manager and a relay that is a service of its own; the file of named upstreams."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from chassis.ids import new_id
from chassis.settings import SettingsError
from contracts.relay import Credential, NamedUpstream
from executor_manager.containers.process import ProcessBackend
from executor_manager.services.agent_upstreams import load_upstreams, upstreams_of
from tests.executor_manager.managers import Desk, Start, container_of, until
from tests.executor_manager.relay.witness import SECRET, Witness
from tests.executor_manager.relays import Bound, Relay

MODELS: dict[str, Any] = {
    "name": "models",
    "url": "https://api.models.test/base",
    "methods": ["POST"],
    "paths": ["/v1/messages", "/v1/files/"],
    "credential": {"name": "key", "header": "x-api-key", "prefix": ""},
}


def written(folder: Path, *entries: object) -> Path:
    path = folder / "upstreams.json"
    path.write_text(json.dumps(entries))
    return path


async def test_relay_as_a_service__is_never_started_and_told_everything_again(
    *,
    start: Start,
    desk: Desk,
    backend: ProcessBackend,
    short_dir: Path,
    agents_relay: Relay,
    witness: Witness,
) -> None:
    upstream = {**MODELS, "url": f"http://localhost:{witness.port}", "credential": {"name": "key"}}
    manager = await start(
        relay_admin_socket=agents_relay.admin_socket,
        agent_upstreams_file=written(short_dir, upstream),
        drain_on_stop="true",
    )
    worker = desk.offer()
    await desk.ready(worker)
    container = await container_of(backend, worker)
    agent = Bound(worker.worker_id, container.directories.agent / "agent.sock")
    assert (await agent.ask("/models/v1/messages", body=b"{}")).endswith(b"whole")

    await agents_relay.kill()
    await until(lambda: "relay_away" in manager.log, "noticed")
    await agents_relay.start()
    async with asyncio.timeout(30):
        while (await agents_relay.listing()).workers != [worker.worker_id]:  # noqa: ASYNC110  # in other processes
            await asyncio.sleep(0.01)
    assert (await agent.ask("/models/v1/messages", body=b"{}")).endswith(b"whole")
    assert [seen.all("authorization") for seen in witness.seen] == [[f"Bearer {SECRET}"]] * 2

    assert await manager.kill(signal.SIGTERM, deadline=60) == 0
    await agents_relay.listing()  # a drain leaves it alone
    assert not (short_dir / "s" / "relay").exists()


async def test_a_file_of_upstreams_that_is_wrong__ends_the_manager_with_its_field(
    start: Start, short_dir: Path
) -> None:
    path = written(short_dir, MODELS, {**MODELS, "name": "other", "methods": ["CONNECT"]})
    manager = await start(agent_upstreams_file=path)
    assert manager.process is not None
    async with asyncio.timeout(20):
        assert await manager.process.wait() == 1
    assert f"executor-manager: {path}: upstream 1: methods: should be" in manager.log


def test_a_file_of_upstreams__is_read(tmp_path: Path) -> None:
    plain = {"name": "pypi", "url": "http://mirror:8080", "methods": ["GET"], "paths": ["/simple/"]}
    models, pypi = load_upstreams(written(tmp_path, MODELS, plain))
    assert models.credential == Credential(name="key", header="x-api-key", prefix="")
    assert (pypi.url, pypi.credential) == ("http://mirror:8080", None)
    assert load_upstreams(None) == []


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": "Models"}, "name"),
    ({"name": "../key"}, "name"),
    ({"url": "ftp://a"}, "url"),
    ({"url": "https://"}, "url"),
    ({"url": "https://user:secret@a"}, "url"),
    ({"url": "https://a/?x"}, "url"),
    ({"url": "https://a/#x"}, "url"),
    ({"url": "https://a/b/../c"}, "url"),
    ({"url": "https://a:port"}, "url"),
    ({"url": 1}, "url"),
    ({"methods": []}, "methods"),
    ({"methods": ["post"]}, "methods"),
    ({"methods": ["CONNECT"]}, "methods"),
    ({"methods": "POST"}, "methods"),
    ({"paths": []}, "paths"),
    ({"paths": ["v1"]}, "paths"),
    ({"paths": ["/v1?x"]}, "paths"),
    ({"paths": ["/v1/../x"]}, "paths"),
    ({"paths": ["//v1"]}, "paths"),
    ({"paths": ["/v1/%2e"]}, "paths"),
    ({"credential": {"name": "a/b"}}, "credential.name"),
    ({"credential": {"name": "key", "header": "host"}}, "credential.header"),
    ({"credential": {"name": "key", "header": "a b"}}, "credential.header"),
    ({"credential": {"name": "key", "prefix": "a\r\nb"}}, "credential.prefix"),
    ({"credential": {"name": "key", "value": "sk"}}, "credential.value"),
    ({"credentials": {"name": "key"}}, "credentials"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_an_upstream_that_is_wrong__is_named_with_file_place_and_field(
    tmp_path: Path, change: dict[str, Any], field: str
) -> None:
    path = written(tmp_path, {**MODELS, "name": "first"}, {**MODELS, **change})
    with pytest.raises(SettingsError) as caught:
        load_upstreams(path)
    assert str(caught.value).startswith(f"{path}: upstream 1: ")
    assert field in str(caught.value)


def test_a_file_of_upstreams__that_is_none_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, MODELS, MODELS)
    with pytest.raises(SettingsError, match="upstream 1: name: models is there twice"):
        load_upstreams(path)
    path.write_text('{"name": "models"}')
    with pytest.raises(SettingsError, match="should be a JSON list"):
        load_upstreams(path)
    with pytest.raises(SettingsError, match="BERTH_AGENT_UPSTREAMS_FILE: No such file"):
        load_upstreams(tmp_path / "absent")


def test_the_control_planes_own__are_there_unless_the_file_replaces_them() -> None:
    worker_id = new_id()
    models, tools = upstreams_of(worker_id, "http://control:8000/base/", [])
    base = f"http://control:8000/base/internal/v1/workers/{worker_id}"
    assert (models.url, models.methods, models.paths) == (
        f"{base}/models",
        ["GET", "POST"],
        ["/v1/"],
    )
    assert (tools.url, tools.paths) == (f"{base}/tools", ["/mcp"])
    assert models.as_worker
    assert tools.as_worker
    own = NamedUpstream(name="models", url="http://a", methods=["POST"], paths=["/"])
    pypi = NamedUpstream(name="pypi", url="http://b", methods=["GET"], paths=["/"])
    assert upstreams_of(worker_id, "http://control:8000/base", [own, pypi]) == [tools, own, pypi]


@pytest.mark.parametrize("value", [True, False])
def test_a_file_of_upstreams__never_sends_a_workers_token_anywhere(
    tmp_path: Path, *, value: bool
) -> None:
    path = written(tmp_path, {**MODELS, "credential": None, "as_worker": value})
    with pytest.raises(SettingsError) as caught:
        load_upstreams(path)
    assert str(caught.value) == (
        f"{path}: upstream 0: as_worker: leave it out; it would send workers' own tokens to the url"
    )
