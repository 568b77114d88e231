"""Indexes that are hostile, and agents that are: what is kept of neither grows without a bound."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec
import pytest

from contracts.relay import RELAY_STREAMS, Credential, NamedUpstream, RelayStreams
from executor_manager.relay.streams import KEPT
from tests.executor_manager.relay.conftest import Passing
from tests.executor_manager.relay.index_server import IndexServer
from tests.executor_manager.relay.tunnelling import Agent, relay_in_process

PAGE_BYTES = 3_000_000
INDEX_SECONDS = 60.0
KEY = "canary-of-the-index"


@pytest.fixture
async def index() -> AsyncGenerator[IndexServer]:
    async with IndexServer() as server:
        yield server


@pytest.fixture
async def agent(short_dir: Path, index: IndexServer) -> AsyncGenerator[Agent]:
    (short_dir / "credentials").mkdir()
    (short_dir / "credentials" / "key").write_text(KEY)
    async with relay_in_process(
        short_dir,
        relay_credentials_dir=short_dir / "credentials",
        relay_index_bytes=PAGE_BYTES + 1,
        relay_index_room_bytes=3 * PAGE_BYTES,
        relay_index_seconds=INDEX_SECONDS,
    ) as relay:
        pypi = NamedUpstream(
            name="pypi",
            url=f"{index.url}/team/index",
            methods=["GET", "HEAD"],
            paths=["/simple/"],
            index="pypi",
            credential=Credential(name="key"),
        )
        models = NamedUpstream(name="models", url=index.url, methods=["POST"], paths=["/v1/"])
        yield await relay.bind_upstreams(pypi, models)


def asking(target: str, method: str = "GET") -> bytes:
    head = f"{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    return f"{head}Content-Length: 0\r\n\r\n".encode()


async def told(agent: Agent) -> RelayStreams:
    """As the executor is."""
    control = Path(agent.policy.control_dir) / "relay.sock"
    reader, writer = await asyncio.open_unix_connection(str(control))
    writer.write(asking(RELAY_STREAMS.path, RELAY_STREAMS.method))
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return msgspec.json.decode(answer.partition(b"\r\n\r\n")[2], type=RelayStreams)


@pytest.mark.parametrize(
    "location",
    [
        "/team/index/../../secret.whl",
        "/team/index/p/%2e%2e/%2e%2e/%2e%2e/secret.whl",
        "/team/index/..%2f..%2fsecret.whl",
        "/team/index//elsewhere.test/secret.whl",
        "/team/index/p/a b.whl",
        "/team/index/p/a\\..\\..\\secret.whl",
        "/team/index/p/..\t/../secret.whl",
        "/team/indexes/secret.whl",
    ],
)
async def test_a_redirect__leads_out_of_the_index_in_no_spelling(
    agent: Agent, index: IndexServer, location: str
) -> None:
    index.move("/team/index/p/b.whl", f"{index.url}{location}")
    index.add(location, b"secret", "application/octet-stream")
    answer = await agent.send(asking("/pypi/p/b.whl"))
    assert b'"rule":"redirect"' in answer, answer
    assert index.asked == [("GET", "/team/index/p/b.whl")]


async def test_a_page_that_nobody_reads__gives_its_room_back(
    passing: Passing, agent: Agent, index: IndexServer
) -> None:
    """A session has room for one of these."""
    index.add("/team/index/simple/b/", b"x" * PAGE_BYTES, "text/html")
    reader, writer = await agent.open()
    writer.write(asking("/pypi/simple/b/"))
    async with asyncio.timeout(30):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200 ")
        answer = await agent.send(asking("/pypi/simple/b/"))
        assert answer.startswith(b"HTTP/1.1 503 ")
    passing(INDEX_SECONDS + 1)
    async with asyncio.timeout(30):
        while not answer.startswith(b"HTTP/1.1 200 "):
            answer = await agent.send(asking("/pypi/simple/b/"))
    writer.close()


async def test_an_install__does_not_push_out_what_a_model_said(agent: Agent) -> None:
    await agent.send(asking("/models/v1/messages", "POST"))
    for number in range(KEPT + 10):
        answer = await agent.send(asking(f"/pypi/simple/absent{number}/"))
        assert answer.startswith(b"HTTP/1.1 404 ")
    found = await told(agent)
    assert [(one.upstream, one.path, one.status) for one in found.refused] == [
        ("models", "/v1/messages", 404)
    ]
    assert found.open == 0
